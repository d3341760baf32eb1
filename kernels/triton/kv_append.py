"""Storing new tokens of keys or values in a cache in any layout, encoded on the way, in Triton."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import DTYPES, LARGEST_HEAD_DIM, architecture, expect, padded
from attnlab.kernels.triton.attention_tiles import INTERPRETED
from attnlab.kernels.triton.cache_arguments import CODECS, check_counts, check_side, check_table
from attnlab.kernels.triton.decode_tiles import row_offsets, token_place

GROUP = tl.constexpr(32)
TOKEN_CODECS = ("same", "int8_token", "int8_channel", "fp8_tensor", "fp8_token", "int4_token")
GROUP_CODECS = ("int4_channel",)
NUMBERS_A_PROGRAM = 1024


@dataclass(frozen=True)
class Place:
    """Where tokens of a cache lie: pages of page_tokens tokens, by a block table [B, N] or one a sequence."""

    page_tokens: int
    table: Tensor | None = None
    wraps: bool = False


def kv_append(
    x: Tensor, planes: Mapping[str, Tensor], starts: Tensor, codec: str, place: Place, recent: Tensor | None = None
) -> None:
    """Store x [B, Hkv, T, D] as tokens starts[b] to starts[b] + T - 1 of each sequence.

    x: float32, float16 or bfloat16, D from 1 to 256. planes: `data` and, by codec, `scale` and `minimum`, as
    `decode_attention` takes them; scales that are set once are read. starts: int32 [B]. recent, for int4_channel:
    [B, 64, Hkv, D], the last keys as they came, token t at t mod 64; T is then 32 at most, and the group that was not
    full is encoded anew. Raises ValueError on arguments that do not fit, before any launch. That the tokens fit into
    the pages is the caller's to know: positions are not read on the host.
    """
    _check(x, planes, starts, codec, place, recent)
    if x.numel() == 0:
        return
    batch, heads, tokens, width = x.shape
    table, table_stride = (starts, 0) if place.table is None else (place.table, place.table.stride(0))
    where = {"PAGE": place.page_tokens, "PAGED": place.table is not None, "WRAPS": place.wraps}
    data, scale = planes["data"], planes.get("scale", starts)
    strides = data.stride()[:3], scale.stride()[:3] if scale.dim() == 4 else (0, 0, 0)
    with torch.cuda.device_of(x):
        if codec in GROUP_CODECS:
            assert recent is not None
            groups = (tokens + GROUP.value - 2) // GROUP.value + 1
            _append_group[(groups * heads * batch,)](  # on one axis, for the others end at 65,535
                x, recent, starts, data, scale, planes["minimum"], table, table_stride,
                x.stride()[:3], recent.stride()[:3], *strides, tokens, groups, heads, WIDTH=width,
                GROUPS=triton.next_power_of_2(width // GROUP.value), num_warps=4, **where,
            )  # fmt: skip
            return
        native = not INTERPRETED.value and architecture() >= 89
        bits = codec.startswith("fp8") and not native
        at_once = max(1, min(triton.next_power_of_2(heads), NUMBERS_A_PROGRAM // padded(width)))
        _append_tokens[(tokens * triton.cdiv(heads, at_once) * batch,)](
            x, starts, data.view(torch.uint8) if bits else data, scale, planes.get("minimum", starts), table,
            table_stride, x.stride()[:3], *strides, tokens, heads,
            CODEC=codec, BITS=bits, WIDTH=width, BLOCK=padded(width), HEADS=at_once,
            GROUPS=triton.next_power_of_2(max(1, width // GROUP.value)), num_warps=4, **where,
        )  # fmt: skip


def _check(
    x: Tensor, planes: Mapping[str, Tensor], starts: Tensor, codec: str, place: Place, recent: Tensor | None
) -> None:
    expect(codec in TOKEN_CODECS + GROUP_CODECS, f"codec {codec}", f"one of {', '.join(TOKEN_CODECS + GROUP_CODECS)}",
           "store the cache in one of these")  # fmt: skip
    dense = x.dim() == 4 and (x.shape[-1] == 1 or x.stride(-1) == 1)
    expect(dense and x.dtype in DTYPES, f"x {list(x.shape)} of {x.dtype}",
           f"[B, Hkv, T, D] of {', '.join(map(str, DTYPES))} without gaps", "cast, reshape or copy x")  # fmt: skip
    expect(x.device.type != "cpu" or bool(INTERPRETED.value), "tensors on cpu", "tensors on a GPU",
           "move them, or set TRITON_INTERPRET=1 before the import to run in the interpreter")  # fmt: skip
    batch, heads, tokens, width = x.shape
    expect(1 <= width <= LARGEST_HEAD_DIM, f"head size {width}", f"1 to {LARGEST_HEAD_DIM}", "split the head")
    check_side("the cache", planes, CODECS[codec], heads, place.page_tokens, x)
    check_counts("starts", starts, batch, x)
    check_table(place.table, batch, planes["data"].shape[0], place.page_tokens, x)
    if codec in GROUP_CODECS:
        wanted = (batch, 2 * GROUP.value, heads, width)
        expect(recent is not None and tuple(recent.shape) == wanted and recent.stride(-1) == 1,
               f"recent {None if recent is None else list(recent.shape)}", str(list(wanted)),
               "pass the last keys as they came")  # fmt: skip
        expect(tokens <= GROUP.value, f"{tokens} tokens", f"at most {GROUP.value}", "append in parts")


@triton.jit(do_not_specialize=["tokens", "heads"])
def _append_tokens(
    x: tl.tensor, starts: tl.tensor, data: tl.tensor, scale: tl.tensor, minimum: tl.tensor,
    table: tl.tensor, table_stride: tl.tensor, x_strides: tl.tuple, data_strides: tl.tuple, scale_strides: tl.tuple,
    tokens: tl.tensor, heads: tl.tensor,
    CODEC: tl.constexpr, BITS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, HEADS: tl.constexpr,
    GROUPS: tl.constexpr, PAGE: tl.constexpr, PAGED: tl.constexpr, WRAPS: tl.constexpr,
) -> None:  # fmt: skip
    """One token of some heads."""
    token = tl.program_id(0) % tokens
    row = tl.program_id(0) // tokens
    blocks = tl.cdiv(heads, HEADS)
    head = row % blocks * HEADS + tl.arange(0, HEADS)
    sequence = row // blocks
    real = head < heads
    page, place = token_place(table, table_stride, sequence, tl.load(starts + sequence) + token, PAGE, PAGED, WRAPS)
    source = row_offsets(x_strides, sequence, head, token)
    target = row_offsets(data_strides, page, place, head)
    scales = row_offsets(scale_strides, page, place, head)
    if CODEC == "int4_token":
        _store_int4(x, source, data, target, scale, minimum, scales, real, WIDTH, GROUPS)
    else:
        column = tl.arange(0, BLOCK)
        mask = real[:, None] & (column < WIDTH)[None, :]
        numbers = tl.load(x + source[:, None] + column[None, :], mask=mask, other=0.0)
        target = data + target[:, None] + column[None, :]
        if CODEC == "same":
            tl.store(target, numbers, mask=mask)
        else:
            _store_scaled(
                numbers.to(tl.float32), target, mask, scale, scales, head, column, real, CODEC, BITS, WIDTH
            )  # fmt: skip


@triton.jit
def _store_scaled(
    numbers: tl.tensor, target: tl.tensor, mask: tl.tensor, scale: tl.tensor, scales: tl.tensor, head: tl.tensor,
    column: tl.tensor, real: tl.tensor, CODEC: tl.constexpr, BITS: tl.constexpr, WIDTH: tl.constexpr,
) -> None:  # fmt: skip
    """Numbers [HEADS, BLOCK] over their scale, which is stored where it is the token's own."""
    WHOLE: tl.constexpr = CODEC == "int8_token" or CODEC == "int8_channel"
    LARGEST: tl.constexpr = 127.0 if WHOLE else 448.0
    if CODEC == "int8_token" or CODEC == "fp8_token":
        step = _told(tl.max(tl.abs(numbers), 1) / LARGEST, _any_nan(numbers, 1))[:, None]
        tl.store(scale + scales[:, None], step, mask=real[:, None])
    elif CODEC == "int8_channel":
        step = tl.load(scale + head[:, None] * WIDTH + column[None, :], mask=mask, other=0.0)
    else:
        step = tl.full([1, 1], 0.0, tl.float32) + tl.load(scale)
    quotient = tl.where(step > 0, numbers / tl.where(step > 0, step, 1.0), 0.0)
    unknown = quotient != quotient
    quotient = tl.minimum(tl.maximum(quotient, -LARGEST), LARGEST)
    if not WHOLE:
        quotient = _told(quotient, unknown)  # of whole numbers none is NaN
    if WHOLE:
        tl.store(target, _nearest(quotient).to(tl.int8), mask=mask)
    elif BITS:
        tl.store(target, _e4m3_bits(quotient), mask=mask)
    else:
        tl.store(target, quotient.to(tl.float8e4nv), mask=mask)


@triton.jit
def _store_int4(
    x: tl.tensor, source: tl.tensor, data: tl.tensor, target: tl.tensor, scale: tl.tensor, minimum: tl.tensor,
    scales: tl.tensor, real: tl.tensor, WIDTH: tl.constexpr, GROUPS: tl.constexpr,
) -> None:  # fmt: skip
    """A token's channels in groups of 32, [HEADS, GROUPS, 16] twice: those of the low bits, and of the high ones."""
    group = tl.arange(0, GROUPS)
    lane = tl.arange(0, 16)[None, None, :]
    channel = group[None, :, None] * 32 + lane
    mask = real[:, None, None] & (channel < WIDTH)
    low = tl.load(x + source[:, None, None] + channel, mask=mask, other=0.0).to(tl.float32)
    high = tl.load(x + source[:, None, None] + channel + 16, mask=mask, other=0.0).to(tl.float32)
    least = tl.minimum(tl.min(low, 2), tl.min(high, 2))
    largest = tl.maximum(tl.max(low, 2), tl.max(high, 2))
    step, zero = _int4_steps(least, largest, _any_nan(low, 2) | _any_nan(high, 2))
    codes = _int4_code(low, step[:, :, None], zero[:, :, None])
    codes |= _int4_code(high, step[:, :, None], zero[:, :, None]) << 4
    tl.store(data + target[:, None, None] + group[None, :, None] * 16 + lane, codes.to(tl.uint8), mask=mask)
    offsets = scales[:, None] + group[None, :]
    mask = real[:, None] & (group * 32 < WIDTH)[None, :]
    tl.store(scale + offsets, step.to(tl.float16), mask=mask)
    tl.store(minimum + offsets, zero.to(tl.float16), mask=mask)


@triton.jit(do_not_specialize=["tokens", "groups", "heads"])
def _append_group(
    x: tl.tensor, recent: tl.tensor, starts: tl.tensor, data: tl.tensor, scale: tl.tensor, minimum: tl.tensor,
    table: tl.tensor, table_stride: tl.tensor,
    x_strides: tl.tuple, recent_strides: tl.tuple, data_strides: tl.tuple, scale_strides: tl.tuple, tokens: tl.tensor,
    groups: tl.tensor, heads: tl.tensor,
    WIDTH: tl.constexpr, GROUPS: tl.constexpr, PAGE: tl.constexpr, PAGED: tl.constexpr, WRAPS: tl.constexpr,
) -> None:  # fmt: skip
    """One group of 32 tokens of one head, of which the new ones are some."""
    row = tl.program_id(0) // groups
    head = row % heads
    sequence = row // heads
    start = tl.load(starts + sequence)
    first = (start // GROUP + tl.program_id(0) % groups) * GROUP
    if first >= start + tokens:
        return
    token = first + tl.arange(0, GROUP)[:, None, None]
    group = tl.arange(0, GROUPS)[None, :, None]
    lane = tl.arange(0, 16)[None, None, :]
    channel = group * 32 + lane
    known = channel < WIDTH
    new = (token >= start) & (token < start + tokens) & known
    old = (token < start) & known

    fresh = row_offsets(x_strides, sequence, head, token - start) + channel
    kept = row_offsets(recent_strides, sequence, token % (2 * GROUP), head) + channel
    low, high = tl.load(x + fresh, mask=new, other=0.0), tl.load(x + fresh + 16, mask=new, other=0.0)
    tl.store(recent + kept, low, mask=new)
    tl.store(recent + kept + 16, high, mask=new)
    low = tl.where(new, low, tl.load(recent + kept, mask=old, other=0.0)).to(tl.float32)
    high = tl.where(new, high, tl.load(recent + kept + 16, mask=old, other=0.0)).to(tl.float32)

    page, place = token_place(table, table_stride, sequence, first, PAGE, PAGED, WRAPS)
    target = row_offsets(data_strides, page, place + tl.arange(0, GROUP)[:, None, None], head) + group * 16 + lane
    scales = row_offsets(scale_strides, page, place // GROUP, head) + channel
    there = new | old
    low_step, low_zero = _group_steps(low, there)
    high_step, high_zero = _group_steps(high, there)
    codes = _int4_code(low, low_step, low_zero) | (_int4_code(high, high_step, high_zero) << 4)
    tl.store(data + target, codes.to(tl.uint8), mask=there)
    tl.store(scale + scales, low_step.to(tl.float16), mask=known)
    tl.store(minimum + scales, low_zero.to(tl.float16), mask=known)
    tl.store(scale + scales + 16, high_step.to(tl.float16), mask=known)
    tl.store(minimum + scales + 16, high_zero.to(tl.float16), mask=known)


@triton.jit
def _group_steps(numbers: tl.tensor, there: tl.tensor) -> tl.tuple:
    """Scale and minimum of each channel [1, GROUPS, 16] over the tokens that are there."""
    least = tl.min(tl.where(there, numbers, float("inf")), 0)[None, :, :]
    largest = tl.max(tl.where(there, numbers, float("-inf")), 0)[None, :, :]
    absent = least > largest
    unknown = _any_nan(tl.where(there, numbers, 0.0), 0)[None, :, :]
    return _int4_steps(tl.where(absent, 0.0, least), tl.where(absent, 0.0, largest), unknown)


@triton.jit
def _int4_steps(least: tl.tensor, largest: tl.tensor, unknown: tl.tensor) -> tl.tuple:
    """(scale, minimum) as float16 holds them, in float32; NaN where a number is."""
    least = tl.minimum(tl.maximum(least, -65504.0), 65504.0)
    step = (tl.maximum(tl.minimum(largest, 65504.0), -65504.0) - least) / 15.0
    step, least = _told(step, unknown), _told(least, unknown)
    return step.to(tl.float16).to(tl.float32), least.to(tl.float16).to(tl.float32)


@triton.jit
def _any_nan(numbers: tl.tensor, AXIS: tl.constexpr) -> tl.tensor:
    """Whether any number along an axis is NaN, which minima and maxima pass over."""
    return tl.max((numbers != numbers).to(tl.int32), AXIS) != 0


@triton.jit
def _told(x: tl.tensor, unknown: tl.tensor) -> tl.tensor:
    """x, NaN where it is not known."""
    return tl.where(unknown, float("nan"), x)


@triton.jit
def _int4_code(numbers: tl.tensor, step: tl.tensor, zero: tl.tensor) -> tl.tensor:
    quotient = tl.where(step > 0, (numbers - zero) / tl.where(step > 0, step, 1.0), 0.0)
    return _nearest(tl.minimum(tl.maximum(quotient, 0.0), 15.0)).to(tl.int32)


@triton.jit
def _nearest(x: tl.tensor) -> tl.tensor:
    """Rounded to a whole number, halves to even, for |x| below 2^22: what is past the point falls off."""
    return (x + 12582912.0) - 12582912.0


@triton.jit
def _e4m3_bits(x: tl.tensor) -> tl.tensor:
    """|x| up to 448 rounded to e4m3, halves to even, as a byte: for devices that have no such conversion."""
    bits = x.to(tl.uint32, bitcast=True)
    size = bits & 0x7FFFFFFF
    rounded = (size + 0x7FFFF + ((size >> 20) & 1)) >> 20
    tiny = _nearest(size.to(tl.float32, bitcast=True) * 512.0).to(tl.uint32)  # in steps of 2^-9
    code = tl.where(size < 0x3C800000, tiny, rounded - 960)  # below 2^-6
    code = tl.where(size > 0x7F800000, 0x7F, code)  # NaN
    return (code | ((bits >> 24) & 0x80)).to(tl.uint8)
