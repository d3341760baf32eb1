"""The kernels that store new tokens in a cache: token by token, and four-bit keys in groups of 32 tokens."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from attnlab.kernels.triton.decode_tiles import row_offsets, token_place
from attnlab.kernels.triton.kv_codes import GROUP, any_nan, e4m3_bits, int4_code, int4_steps, nearest, or_nan


class Planes(NamedTuple):
    """Keys or values of a cache."""

    data: Any
    scale: Any
    minimum: Any


class PlaneStrides(NamedTuple):
    """Of the first three axes; those of the scale are the minimum's as well."""

    data: Any
    scale: Any


@triton.jit(do_not_specialize=["tokens", "heads"])
def append_tokens(
    x: tl.tensor,
    starts: tl.tensor,
    planes: tl.tuple,
    table: tl.tensor,
    table_stride: tl.tensor,
    x_strides: tl.tuple,
    strides: tl.tuple,
    tokens: tl.tensor,
    heads: tl.tensor,
    CODEC: tl.constexpr,
    AS_BYTES: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    HEADS: tl.constexpr,
    GROUPS: tl.constexpr,
    PAGING: tl.constexpr,
) -> None:
    """One token of some heads."""
    token = tl.program_id(0) % tokens
    row = tl.program_id(0) // tokens
    blocks = tl.cdiv(heads, HEADS)
    head = row % blocks * HEADS + tl.arange(0, HEADS)
    sequence = row // blocks
    real = head < heads
    page, place = token_place(table, table_stride, sequence, tl.load(starts + sequence) + token, PAGING)
    source = row_offsets(x_strides, sequence, head, token)
    target = row_offsets(strides.data, page, place, head)
    scales = row_offsets(strides.scale, page, place, head)
    if CODEC == "int4_token":
        _store_int4(x, source, planes, target, scales, real, WIDTH, GROUPS)
    else:
        column = tl.arange(0, BLOCK)
        mask = real[:, None] & (column < WIDTH)[None, :]
        numbers = tl.load(x + source[:, None] + column[None, :], mask=mask, other=0.0)
        target = planes.data + target[:, None] + column[None, :]
        if CODEC == "same":
            tl.store(target, numbers, mask=mask)
        else:
            numbers = numbers.to(tl.float32)
            step = _steps(numbers, planes.scale, scales, head, column, real, mask, CODEC, WIDTH)
            _store_scaled(numbers, step, target, mask, CODEC, AS_BYTES)


@triton.jit
def _steps(
    numbers: tl.tensor,
    scale: tl.tensor,
    scales: tl.tensor,
    head: tl.tensor,
    column: tl.tensor,
    real: tl.tensor,
    mask: tl.tensor,
    CODEC: tl.constexpr,
    WIDTH: tl.constexpr,
) -> tl.tensor:
    """The scales of numbers [HEADS, BLOCK], which broadcast to them; stored where they are the token's own."""
    if CODEC == "int8_token" or CODEC == "fp8_token":
        LARGEST: tl.constexpr = 127.0 if CODEC == "int8_token" else 448.0
        step = or_nan(tl.max(tl.abs(numbers), 1) / LARGEST, any_nan(numbers, 1))[:, None]
        tl.store(scale + scales[:, None], step, mask=real[:, None])
        return step
    elif CODEC == "int8_channel":
        return tl.load(scale + head[:, None] * WIDTH + column[None, :], mask=mask, other=0.0)
    else:
        return tl.full([1, 1], 0.0, tl.float32) + tl.load(scale)


@triton.jit
def _store_scaled(
    numbers: tl.tensor,
    step: tl.tensor,
    target: tl.tensor,
    mask: tl.tensor,
    CODEC: tl.constexpr,
    AS_BYTES: tl.constexpr,
) -> None:
    """Numbers [HEADS, BLOCK] over their scale, as codes of eight bits."""
    WHOLE: tl.constexpr = CODEC == "int8_token" or CODEC == "int8_channel"
    LARGEST: tl.constexpr = 127.0 if WHOLE else 448.0
    quotient = tl.where(step > 0, numbers / tl.where(step > 0, step, 1.0), 0.0)
    unknown = quotient != quotient
    quotient = tl.minimum(tl.maximum(quotient, -LARGEST), LARGEST)
    if not WHOLE:
        quotient = or_nan(quotient, unknown)  # of whole numbers none is NaN
    if WHOLE:
        tl.store(target, nearest(quotient).to(tl.int8), mask=mask)
    elif AS_BYTES:
        tl.store(target, e4m3_bits(quotient), mask=mask)
    else:
        tl.store(target, quotient.to(tl.float8e4nv), mask=mask)


@triton.jit
def _store_int4(
    x: tl.tensor,
    source: tl.tensor,
    planes: tl.tuple,
    target: tl.tensor,
    scales: tl.tensor,
    real: tl.tensor,
    WIDTH: tl.constexpr,
    GROUPS: tl.constexpr,
) -> None:
    """A token's channels in groups of 32, [HEADS, GROUPS, 16] twice: those of the low bits, and of the high ones."""
    group = tl.arange(0, GROUPS)
    lane = tl.arange(0, 16)[None, None, :]
    channel = group[None, :, None] * 32 + lane
    mask = real[:, None, None] & (channel < WIDTH)
    low = tl.load(x + source[:, None, None] + channel, mask=mask, other=0.0).to(tl.float32)
    high = tl.load(x + source[:, None, None] + channel + 16, mask=mask, other=0.0).to(tl.float32)
    least = tl.minimum(tl.min(low, 2), tl.min(high, 2))
    largest = tl.maximum(tl.max(low, 2), tl.max(high, 2))
    step, zero = int4_steps(least, largest, any_nan(low, 2) | any_nan(high, 2))
    codes = int4_code(low, step[:, :, None], zero[:, :, None])
    codes |= int4_code(high, step[:, :, None], zero[:, :, None]) << 4
    tl.store(planes.data + target[:, None, None] + group[None, :, None] * 16 + lane, codes.to(tl.uint8), mask=mask)
    offsets = scales[:, None] + group[None, :]
    mask = real[:, None] & (group * 32 < WIDTH)[None, :]
    tl.store(planes.scale + offsets, step.to(tl.float16), mask=mask)
    tl.store(planes.minimum + offsets, zero.to(tl.float16), mask=mask)


@triton.jit(do_not_specialize=["tokens", "groups", "heads"])
def append_group(
    x: tl.tensor,
    recent: tl.tensor,
    starts: tl.tensor,
    planes: tl.tuple,
    table: tl.tensor,
    table_stride: tl.tensor,
    x_strides: tl.tuple,
    recent_strides: tl.tuple,
    strides: tl.tuple,
    tokens: tl.tensor,
    groups: tl.tensor,
    heads: tl.tensor,
    WIDTH: tl.constexpr,
    GROUPS: tl.constexpr,
    PAGING: tl.constexpr,
) -> None:
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

    page, place = token_place(table, table_stride, sequence, first, PAGING)
    target = row_offsets(strides.data, page, place + tl.arange(0, GROUP)[:, None, None], head) + group * 16 + lane
    scales = row_offsets(strides.scale, page, place // GROUP, head) + channel
    there = new | old
    low_step, low_zero = _group_steps(low, there)
    high_step, high_zero = _group_steps(high, there)
    codes = int4_code(low, low_step, low_zero) | (int4_code(high, high_step, high_zero) << 4)
    tl.store(planes.data + target, codes.to(tl.uint8), mask=there)
    tl.store(planes.scale + scales, low_step.to(tl.float16), mask=known)
    tl.store(planes.minimum + scales, low_zero.to(tl.float16), mask=known)
    tl.store(planes.scale + scales + 16, high_step.to(tl.float16), mask=known)
    tl.store(planes.minimum + scales + 16, high_zero.to(tl.float16), mask=known)


@triton.jit
def _group_steps(numbers: tl.tensor, there: tl.tensor) -> tl.tuple:
    """Scale and minimum of each channel [1, GROUPS, 16] over the tokens that are there."""
    least = tl.min(tl.where(there, numbers, float("inf")), 0)[None, :, :]
    largest = tl.max(tl.where(there, numbers, float("-inf")), 0)[None, :, :]
    absent = least > largest
    unknown = any_nan(tl.where(there, numbers, 0.0), 0)[None, :, :]
    return int4_steps(tl.where(absent, 0.0, least), tl.where(absent, 0.0, largest), unknown)
