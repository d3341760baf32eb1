"""Decoding in Triton: attention of a few new tokens over a cache in any layout and format.

Technique: Flash-Decoding (Dao et al., 2023): the cache is split over programs, and the parts are combined by their
log-sum-exp; no second pass for one split. The query heads of a group share a tile. Codes become numbers in registers;
scales of keys are folded into queries or scores, those of values into weights or the result.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import (
    DTYPES,
    LARGEST_HEAD_DIM,
    LOG2_E,
    architecture,
    blocks,
    expect,
    padded,
    reach,
)
from attnlab.kernels.triton.attention_tiles import INTERPRETED, add_product, dot_rows, narrow, scale_rows, zero_rows
from attnlab.kernels.triton.cache_arguments import CODECS, GROUP, check_counts, check_side, check_table
from attnlab.kernels.triton.decode_tiles import (
    FP8_BITS,
    INT4,
    channels,
    each_of_group,
    load_numbers,
    row_offsets,
    token_places,
)

LARGEST_TILE_M = 64  # query rows of a program
LARGEST_SPLITS = 128
GOOD_ENOUGH = 0.85  # of the best share of processors kept busy: fewer splits are then better
KEY_CODECS = tuple(codec for codec in CODECS if codec != "int4_token")
VALUE_CODECS = tuple(codec for codec in CODECS if codec not in ("int4_channel", "int8_channel"))


@dataclass(frozen=True)
class DecodeTiling:
    """How the kernel cuts its work and how it is compiled."""

    block_n: int  # tokens of a tile
    num_warps: int
    num_stages: int  # tiles in flight

    @property
    def meta(self) -> dict[str, Any]:
        return {"BLOCK_N": self.block_n, "num_warps": self.num_warps, "num_stages": self.num_stages}


def configuration(head_dim: int, dtype: torch.dtype, key_codec: str, rows: int) -> DecodeTiling:
    """The shipped tiling for a head size, dtype, codec of keys and number of query rows.

    None spills on sm_90 in 16 bits, and on sm_80 and sm_100 at most five registers. For a head size of 128 the fastest
    of four to nine on an H100 (32 sequences of 4096 tokens, 32 query heads over 8, bfloat16); the others are chosen for
    loads in flight.
    """
    if key_codec == "int4_channel":
        # a tile is a group of tokens: its scales fold into the queries
        return DecodeTiling(GROUP, num_warps=4 if head_dim <= 128 else 8, num_stages=5 if head_dim <= 128 else 2)
    if dtype == torch.float32:
        return DecodeTiling(32 if head_dim <= 128 else 16, num_warps=4, num_stages=2)
    if head_dim <= 64:
        return DecodeTiling(64, num_warps=4, num_stages=4)
    if head_dim <= 128:
        # Where a number takes one byte, twice the tokens are as many bytes; with more rows they would spill.
        wide = key_codec != "same" and head_dim == 128 and rows <= 16
        return DecodeTiling(128 if wide else 64, num_warps=4, num_stages=3)
    return DecodeTiling(32, num_warps=8 if rows > 16 else 4, num_stages=3)


def split_count(programs: int, tiles: int, processors: int) -> int:
    """Into how many parts to split the cache, so that programs · splits keep the processors busy.

    One where there are programs enough; else the least number that comes near the best share of full waves (the rule
    of FlashAttention's decoding).
    """
    if programs >= 0.8 * processors:
        return 1
    shares = [
        _share_busy(programs * splits, processors) if -(-tiles // -(-tiles // splits)) == splits else 0.0
        for splits in range(1, min(tiles, processors, LARGEST_SPLITS) + 1)
    ]
    return next((number for number, share in enumerate(shares, 1) if share >= GOOD_ENOUGH * max(shares)), 1)


def _share_busy(programs: int, processors: int) -> float:
    return programs / (-(-programs // processors) * processors)


def decode_attention(
    q: Tensor,
    keys: Mapping[str, Tensor],
    values: Mapping[str, Tensor],
    lengths: Tensor,
    *,
    key_codec: str,
    value_codec: str,
    page_tokens: int,
    table: Tensor | None = None,
    wraps: bool = False,
    longest: int,
    scale: float,
    window: int | None = None,
    splits: int | None = None,
    tiling: DecodeTiling | None = None,
) -> Tensor:
    """softmax(scale · q kᵀ) v of the last Sq tokens of each sequence over its cache -> [B, Hq, Sq, D] in q's dtype.

    q [B, Hq, Sq, D], float32, float16 or bfloat16; D from 1 to 256 (with four bits a multiple of 32); Hq a multiple of
    Hkv. keys, values: planes `data` and, by codec, `scale` and `minimum`, [pages, rows, Hkv, width] in any order in
    memory with width last; `scale` of int8_channel is [Hkv, D], of fp8_tensor [1, 1]. Codecs: same, int8_token,
    int8_channel (keys), fp8_tensor, fp8_token, int4_channel (keys) and int4_token (values).

    lengths: int32 [B], tokens of each sequence, the new ones among them: query i stands at lengths - Sq + i and sees no
    later key, and of those before only the last `window`. longest: at least the largest of them; on a GPU they are not
    read on the host. table: int32 [B, N], pages of `page_tokens` tokens; without it sequence b has page b. wraps: token
    t lies at t mod page_tokens. splits: parts that a sequence's cache is cut into; chosen where left out.

    A query without a key gives zeros. Raises ValueError on arguments that do not fit, before any launch.
    """
    sizes = _check(q, keys, values, lengths, key_codec, value_codec, page_tokens, table, wraps, longest, scale, window)
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    if out.numel() == 0:
        return out
    batch, q_heads, q_len, head_dim = q.shape
    rows = q_len * sizes.group
    block_m = min(LARGEST_TILE_M, max(16, triton.next_power_of_2(rows)))
    tiling = tiling or configuration(head_dim, q.dtype, key_codec, rows)
    seen = longest if window is None else min(longest, window + q_len - 1 + tiling.block_n)
    programs = batch * sizes.kv_heads * triton.cdiv(rows, block_m)
    splits = splits or split_count(programs, max(1, triton.cdiv(seen, tiling.block_n)), _processors(q))
    partial = torch.empty(splits, *q.shape, dtype=torch.float32, device=q.device) if splits > 1 else out
    lse = torch.empty(splits, *q.shape[:3], dtype=torch.float32, device=q.device) if splits > 1 else out
    none = lengths  # stands for tensors that a codec has not
    native = INTERPRETED.value or architecture() >= 89
    codes = [_bytes(side["data"]) if codec.startswith("fp8") and not native else side["data"]
             for side, codec in ((keys, key_codec), (values, value_codec))]  # fmt: skip
    with torch.cuda.device_of(q):
        _decode[(splits * programs,)](  # on one axis, for the others end at 65,535
            q, codes[0], keys.get("scale", none), keys.get("minimum", none),
            codes[1], values.get("scale", none), values.get("minimum", none),
            partial, lse, lengths, none if table is None else table, 0 if table is None else table.stride(0),
            q.stride()[:3], _strides(codes[0]), _strides(keys.get("scale")), _strides(codes[1]),
            _strides(values.get("scale")), partial.stride()[-4:-1], partial.stride(0), lse.stride()[-3:], lse.stride(0),
            scale * LOG2_E, sizes.kv_heads, sizes.group, q_len, reach(window, longest), splits,
            KEYS=_kind(key_codec, native), VALUES=_kind(value_codec, native),
            KEY_SCALE=key_codec.partition("_")[2], VALUE_SCALE=value_codec.partition("_")[2],
            PAGE=page_tokens, PAGED=table is not None, WRAPS=wraps, WINDOWED=window is not None, SPLIT=splits > 1,
            HEAD_DIM=head_dim, BLOCKS=_blocks(head_dim, key_codec), BLOCK_M=block_m, **tiling.meta,
        )  # fmt: skip
        if splits > 1:
            _combine[(batch * q_heads * q_len,)](
                partial, lse, out, splits, batch * q_heads * q_len, head_dim,
                SPLITS=triton.next_power_of_2(splits), WIDTH=padded(head_dim), num_warps=4,
            )  # fmt: skip
    return out


@dataclass(frozen=True)
class _Sizes:
    kv_heads: int
    group: int


def _check(
    q: Tensor, keys: Mapping[str, Tensor], values: Mapping[str, Tensor], lengths: Tensor, key_codec: str,
    value_codec: str, page_tokens: int, table: Tensor | None, wraps: bool, longest: int, scale: float,
    window: int | None,
) -> _Sizes:  # fmt: skip
    expect(q.dim() == 4 and q.dtype in DTYPES, f"q {list(q.shape)} of {q.dtype}",
           f"[B, Hq, Sq, D] of {', '.join(map(str, DTYPES))}", "cast or reshape q")  # fmt: skip
    expect(q.device.type != "cpu" or bool(INTERPRETED.value), "tensors on cpu", "tensors on a GPU",
           "move them, or set TRITON_INTERPRET=1 before the import to run in the interpreter")  # fmt: skip
    batch, q_heads, q_len, head_dim = q.shape
    expect(1 <= head_dim <= LARGEST_HEAD_DIM, f"head size {head_dim}", f"1 to {LARGEST_HEAD_DIM}", "split the head")
    expect(
        head_dim == 1 or q.stride(-1) == 1,
        f"q with stride {q.stride(-1)} in its last axis",
        "stride 1",
        "pass q.contiguous()",
    )
    for codec, known in ((key_codec, KEY_CODECS), (value_codec, VALUE_CODECS)):
        expect(codec in known, f"codec {codec}", f"one of {', '.join(known)}", "store the cache in one of these")
    expect(key_codec.startswith("int4") == value_codec.startswith("int4"), f"keys {key_codec}, values {value_codec}",
           "both of four bits or neither", "store both alike")  # fmt: skip
    kv_heads = keys["data"].shape[2] if "data" in keys and keys["data"].dim() == 4 else 0
    expect(kv_heads > 0 and q_heads % kv_heads == 0, f"{q_heads} query heads over {kv_heads} key-value heads",
           "a multiple", "repeat or drop heads")  # fmt: skip
    check_side("keys", keys, CODECS[key_codec], kv_heads, page_tokens, q)
    check_side("values", values, CODECS[value_codec], kv_heads, page_tokens, q)
    check_counts("lengths", lengths, batch, q)
    expect(math.isfinite(scale) and scale > 0, f"scale {scale}", "a finite number above zero", "negate q instead")
    expect(window is None or window >= 1, f"window {window}", "at least 1 key", "pass None for no window")
    expect(longest >= 0, f"longest {longest}", "0 tokens or more", "pass the largest length")
    check_table(table, batch, min(keys["data"].shape[0], values["data"].shape[0]), page_tokens, q)
    if table is not None:
        held = table.shape[1] * page_tokens
        expect(longest <= held, f"{longest} tokens", f"at most {held}, what the block table holds", "add pages")
        return _Sizes(kv_heads, q_heads // kv_heads)
    # A ring keeps the last tokens alone: what a query may see must be among them.
    seen = longest if window is None or not wraps else min(longest, window + q_len - 1)
    expect(seen <= page_tokens, f"{seen} tokens", f"at most {page_tokens}, what a page holds",
           "allocate a larger cache, or narrow the window" if wraps else "allocate a larger cache")  # fmt: skip
    return _Sizes(kv_heads, q_heads // kv_heads)


def _kind(codec: str, native: bool) -> str:
    kind = CODECS[codec].kind
    return kind if kind != "fp8" or native else FP8_BITS.value


def _blocks(head_dim: int, codec: str) -> tuple[int, ...]:
    """Columns of a tile's parts; of four-bit codes those of half the width, twice."""
    if codec.startswith("int4"):
        return (padded(head_dim // 2),) * 2
    return blocks(head_dim)


def _bytes(plane: Tensor) -> Tensor:
    return plane.view(torch.uint8)


def _strides(plane: Tensor | None) -> tuple[int, ...]:
    return (0, 0, 0) if plane is None or plane.dim() != 4 else plane.stride()[:3]


def _processors(q: Tensor) -> int:
    return torch.cuda.get_device_properties(q.device).multi_processor_count if q.is_cuda else 132


@triton.jit(do_not_specialize=["kv_heads", "group", "q_len", "window", "splits"])
def _decode(
    q: tl.tensor, k: tl.tensor, k_scale: tl.tensor, k_minimum: tl.tensor,
    v: tl.tensor, v_scale: tl.tensor, v_minimum: tl.tensor,
    out: tl.tensor, lse: tl.tensor, lengths: tl.tensor, table: tl.tensor, table_stride: tl.tensor,
    q_strides: tl.tuple, k_strides: tl.tuple, k_scale_strides: tl.tuple, v_strides: tl.tuple,
    v_scale_strides: tl.tuple, out_strides: tl.tuple, out_split: tl.tensor, lse_strides: tl.tuple, lse_split: tl.tensor,
    scale_log2: tl.tensor, kv_heads: tl.tensor, group: tl.tensor, q_len: tl.tensor, window: tl.tensor,
    splits: tl.tensor,
    KEYS: tl.constexpr, VALUES: tl.constexpr, KEY_SCALE: tl.constexpr, VALUE_SCALE: tl.constexpr,
    PAGE: tl.constexpr, PAGED: tl.constexpr, WRAPS: tl.constexpr, WINDOWED: tl.constexpr, SPLIT: tl.constexpr,
    HEAD_DIM: tl.constexpr, BLOCKS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
) -> None:  # fmt: skip
    split = tl.program_id(0) % splits
    program = tl.program_id(0) // splits
    m_tiles = tl.cdiv(q_len * group, BLOCK_M)
    m_tile = program % m_tiles
    head = program // m_tiles % kv_heads
    sequence = program // m_tiles // kv_heads
    length = tl.load(lengths + sequence)
    DTYPE: tl.constexpr = q.dtype.element_ty
    PACKED: tl.constexpr = KEYS == INT4

    rows = m_tile * BLOCK_M + tl.arange(0, BLOCK_M)  # a query token after another, the heads of the group within
    query = rows // group
    q_head = head * group + rows % group
    real = rows < q_len * group
    q_rows = row_offsets(q_strides, sequence, q_head, query)
    queries = _load_queries(q, q_rows, real, k_scale, head, HEAD_DIM, BLOCKS, PACKED, KEY_SCALE)
    if KEY_SCALE == "tensor":
        scale_log2 = scale_log2 * tl.load(k_scale)

    position = length - q_len + query  # of each row's token; negative where it sees nothing
    first = length * 0
    if WINDOWED:
        first = tl.maximum(length - q_len + m_tile * BLOCK_M // group - window + 1, 0) // BLOCK_N
    tiles = tl.cdiv(length, BLOCK_N) - first
    a_split = tl.cdiv(tiles, splits)
    begin = first + split * a_split
    end = tl.minimum(begin + a_split, first + tiles)

    acc = zero_rows(BLOCK_M, BLOCKS)
    total = tl.zeros([BLOCK_M], tl.float32)
    peak = tl.full([BLOCK_M], float("-inf"), tl.float32)
    for tile in tl.range(begin, end):
        start = tile * BLOCK_N
        tokens = start + tl.arange(0, BLOCK_N)
        held = tokens < length
        page, place = token_places(table, table_stride, sequence, start, length, PAGE, PAGED, WRAPS, BLOCK_N)

        keys = load_numbers(k, row_offsets(k_strides, page, place, head), held, HEAD_DIM, BLOCKS, KEYS, DTYPE)
        if KEYS == INT4:
            scores = _int4_scores(
                queries, keys, k_scale, k_minimum, k_scale_strides, page, start, head,
                HEAD_DIM, BLOCKS, PAGE, PAGED, WRAPS, BLOCK_N, DTYPE,
            )  # fmt: skip
        else:
            scores = dot_rows(queries, keys, "ieee")  # [M, N]
        scores *= scale_log2
        if KEY_SCALE == "token":
            offsets = row_offsets(k_scale_strides, page, place, head)
            scores *= tl.load(k_scale + offsets, mask=held, other=0.0)[None, :]
        allowed = held[None, :] & (tokens[None, :] <= position[:, None])
        if WINDOWED:
            allowed &= tokens[None, :] > position[:, None] - window
        scores = tl.where(allowed, scores, float("-inf"))

        new_peak = tl.maximum(peak, tl.max(scores, 1))
        anchor = tl.where(new_peak == float("-inf"), 0.0, new_peak)  # -inf less -inf would be NaN
        weights = tl.exp2(scores - anchor[:, None])
        fade = tl.exp2(peak - anchor)
        total = total * fade + tl.sum(weights, 1)
        values = load_numbers(v, row_offsets(v_strides, page, place, head), held, HEAD_DIM, BLOCKS, VALUES, DTYPE)
        if VALUES == INT4:
            values = _int4_values(
                values, v_scale, v_minimum, row_offsets(v_scale_strides, page, place, head), held,
                HEAD_DIM, BLOCKS, BLOCK_N, DTYPE,
            )  # fmt: skip
        elif VALUE_SCALE == "token":
            offsets = row_offsets(v_scale_strides, page, place, head)
            weights *= tl.load(v_scale + offsets, mask=held, other=0.0)[None, :]
        acc = add_product(scale_rows(acc, fade[:, None]), weights, values, "ieee")
        peak = new_peak

    blind = total == 0
    inverse = 1 / tl.where(blind, 1.0, total)
    if VALUE_SCALE == "tensor":
        inverse *= tl.load(v_scale)
    acc = scale_rows(acc, inverse[:, None])
    out_rows = row_offsets(out_strides, sequence, q_head, query)
    if SPLIT:
        out += tl.cast(split, tl.int64) * out_split
        lse += tl.cast(split, tl.int64) * lse_split
        lse_rows = row_offsets(lse_strides, sequence, q_head, query)
        tl.store(lse + lse_rows, tl.where(blind, float("-inf"), peak + tl.log2(tl.where(blind, 1.0, total))), mask=real)
    _store_part(out, out_rows, real, acc[0], HEAD_DIM, 0, BLOCKS[0], PACKED)
    if len(BLOCKS) == 2:
        _store_part(out, out_rows, real, acc[1], HEAD_DIM, 16 if PACKED else BLOCKS[0], BLOCKS[1], PACKED)


@triton.jit
def _load_queries(
    q: tl.tensor, rows: tl.tensor, real: tl.tensor, k_scale: tl.tensor, head: tl.tensor,
    HEAD_DIM: tl.constexpr, BLOCKS: tl.constexpr, PACKED: tl.constexpr, KEY_SCALE: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    left = _load_query_part(q, rows, real, k_scale, head, HEAD_DIM, 0, BLOCKS[0], PACKED, KEY_SCALE)
    if len(BLOCKS) == 1:
        return (left,)
    else:
        START: tl.constexpr = 16 if PACKED else BLOCKS[0]
        return left, _load_query_part(q, rows, real, k_scale, head, HEAD_DIM, START, BLOCKS[1], PACKED, KEY_SCALE)


@triton.jit
def _load_query_part(
    q: tl.tensor, rows: tl.tensor, real: tl.tensor, k_scale: tl.tensor, head: tl.tensor,
    HEAD_DIM: tl.constexpr, START: tl.constexpr, BLOCK: tl.constexpr, PACKED: tl.constexpr, KEY_SCALE: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Queries [M, BLOCK]; times the scale of their channel where keys have one for each, set once."""
    channel = channels(START, BLOCK, PACKED)
    known = channel < HEAD_DIM
    part = tl.load(q + rows[:, None] + channel[None, :], mask=real[:, None] & known[None, :], other=0.0)
    if KEY_SCALE == "channel" and not PACKED:
        scale = tl.load(k_scale + head * HEAD_DIM + channel, mask=known, other=0.0)
        part = narrow(part.to(tl.float32) * scale[None, :], part.dtype)
    return part


@triton.jit
def _int4_scores(
    queries: tl.tuple, codes: tl.tuple, k_scale: tl.tensor, k_minimum: tl.tensor, strides: tl.tuple,
    page: tl.tensor, start: tl.tensor, head: tl.tensor,
    HEAD_DIM: tl.constexpr, BLOCKS: tl.constexpr, PAGE: tl.constexpr, PAGED: tl.constexpr, WRAPS: tl.constexpr,
    BLOCK_N: tl.constexpr, DTYPE: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """Scores of a tile that is one group of tokens: its scales are folded into the queries, its minima into a bias.

    q · ((code + 8) · scale + minimum) = (q · scale) · code + q · (minimum + 8 · scale).
    """
    tl.static_assert(BLOCK_N == 32)
    place = start
    if PAGED or WRAPS:
        place = start % PAGE
    offset = row_offsets(strides, page, place // BLOCK_N, head)
    left, bias = _fold(queries[0], k_scale + offset, k_minimum + offset, HEAD_DIM, 0, BLOCKS[0], DTYPE)
    right, more = _fold(queries[1], k_scale + offset, k_minimum + offset, HEAD_DIM, 16, BLOCKS[1], DTYPE)
    return dot_rows((left, right), codes, "ieee") + (bias + more)[:, None]


@triton.jit
def _fold(
    part: tl.tensor, k_scale: tl.tensor, k_minimum: tl.tensor,
    HEAD_DIM: tl.constexpr, START: tl.constexpr, BLOCK: tl.constexpr, DTYPE: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """(queries times the group's scales, in DTYPE, [M, BLOCK]; their product with what stands for code 0, [M])."""
    channel = channels(START, BLOCK, True)
    known = channel < HEAD_DIM
    scale = tl.load(k_scale + channel, mask=known, other=0.0).to(tl.float32)
    minimum = tl.load(k_minimum + channel, mask=known, other=0.0).to(tl.float32)
    wide = part.to(tl.float32)
    return narrow(wide * scale[None, :], DTYPE), tl.sum(wide * (minimum + 8 * scale)[None, :], 1)


@triton.jit
def _int4_values(
    codes: tl.tuple, v_scale: tl.tensor, v_minimum: tl.tensor, offsets: tl.tensor, held: tl.tensor,
    HEAD_DIM: tl.constexpr, BLOCKS: tl.constexpr, BLOCK_N: tl.constexpr, DTYPE: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """Values in parts [N, BLOCK], with the scale and minimum of each token's 32 channels."""
    group = tl.arange(0, BLOCKS[0] // 16)
    mask = held[:, None] & (group < HEAD_DIM // 32)[None, :]
    scale = tl.load(v_scale + offsets[:, None] + group[None, :], mask=mask, other=0.0).to(tl.float32)
    zero = tl.load(v_minimum + offsets[:, None] + group[None, :], mask=mask, other=0.0).to(tl.float32) + 8 * scale
    scale = each_of_group(scale, BLOCK_N, BLOCKS[0] // 16)
    zero = each_of_group(zero, BLOCK_N, BLOCKS[0] // 16)
    return (
        narrow(codes[0].to(tl.float32) * scale + zero, DTYPE),
        narrow(codes[1].to(tl.float32) * scale + zero, DTYPE),
    )


@triton.jit
def _store_part(
    out: tl.tensor, rows: tl.tensor, real: tl.tensor, part: tl.tensor,
    HEAD_DIM: tl.constexpr, START: tl.constexpr, BLOCK: tl.constexpr, PACKED: tl.constexpr,
) -> None:  # fmt: skip
    channel = channels(START, BLOCK, PACKED)
    pointers = out + rows[:, None] + channel[None, :]
    tl.store(pointers, narrow(part, out.dtype.element_ty), mask=real[:, None] & (channel < HEAD_DIM)[None, :])


@triton.jit(do_not_specialize=["splits", "rows"])
def _combine(
    partial: tl.tensor, lse: tl.tensor, out: tl.tensor, splits: tl.tensor, rows: tl.tensor, head_dim: tl.tensor,
    SPLITS: tl.constexpr, WIDTH: tl.constexpr,
) -> None:  # fmt: skip
    """Each split's result weighed by its share of the softmax; a row without a key in any split is zeros."""
    row = tl.program_id(0)
    split = tl.arange(0, SPLITS)
    sums = tl.load(lse + tl.cast(split, tl.int64) * rows + row, mask=split < splits, other=float("-inf"))  # base 2
    peak = tl.max(sums, 0)
    shares = tl.exp2(sums - tl.where(peak == float("-inf"), 0.0, peak))
    total = tl.sum(shares, 0)
    columns = tl.arange(0, WIDTH)
    pointers = partial + (tl.cast(split, tl.int64) * rows + row)[:, None] * head_dim + columns[None, :]
    parts = tl.load(pointers, mask=(split < splits)[:, None] & (columns < head_dim)[None, :], other=0.0)
    result = tl.sum(parts * shares[:, None], 0) / tl.where(total == 0, 1.0, total)
    stored = out + tl.cast(row, tl.int64) * head_dim + columns
    tl.store(stored, narrow(result, out.dtype.element_ty), mask=columns < head_dim)
