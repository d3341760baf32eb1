"""Which tiles an attention kernel takes: the ranges of those that meet, and how they are counted.

Names in capitals are compile-time constants; PLAN is a `Plan` of `attention_arguments`.
"""

import triton
import triton.language as tl

from attnlab.kernels.triton import attention_seen as seen


@triton.jit
def spans(
    first: tl.tensor,
    last: tl.tensor,
    length: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    size: tl.tensor,
    table: tl.tensor,
    BLOCK: tl.constexpr,
    OF_KEYS: tl.constexpr,
    PLAN: tl.constexpr,
) -> tl.tuple:
    """Where OF_KEYS, tiles of queries that keys first..last may meet; else of keys that such queries may; in `length`.

    Returns (begin, inner_begin, inner_end, end), multiples of BLOCK but for end: tiles in [inner_begin, inner_end)
    need no mask, those in [begin, inner_begin) and [inner_end, end) do, and all others are skipped.
    """
    HAS_LOW: tl.constexpr = PLAN.causal if OF_KEYS else PLAN.near
    HAS_HIGH: tl.constexpr = PLAN.near if OF_KEYS else PLAN.causal
    begin = length * 0
    inner_begin = begin
    end = length
    inner_end = length
    if HAS_LOW:
        begin = tl.maximum(_low(first, q_len, kv_len, size, table, OF_KEYS, PLAN.mask, ALL=False), 0) // BLOCK * BLOCK
        low = tl.maximum(_low(last, q_len, kv_len, size, table, OF_KEYS, PLAN.mask, ALL=True), 0)
        inner_begin = tl.cdiv(low, BLOCK) * BLOCK
    if HAS_HIGH:
        high = tl.minimum(_high(last, q_len, kv_len, size, table, OF_KEYS, PLAN.mask, ALL=False), length)
        end = tl.maximum(high, begin)
        inner_end = tl.minimum(_high(first, q_len, kv_len, size, table, OF_KEYS, PLAN.mask, ALL=True), length)
        inner_end = tl.maximum(inner_end, 0)
    # Where every tile needs a mask, the first masked range covers them all and the second is empty.
    inner_begin = tl.minimum(inner_begin, tl.cdiv(tl.maximum(end, begin), BLOCK) * BLOCK)
    inner_end = tl.maximum(inner_end // BLOCK * BLOCK, inner_begin)
    return begin, inner_begin, inner_end, end


@triton.jit
def _low(
    row: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    size: tl.tensor,
    table: tl.tensor,
    OF_KEYS: tl.constexpr,
    MASK: tl.constexpr,
    ALL: tl.constexpr,
) -> tl.tensor:
    if OF_KEYS:
        return seen.first_query(row, q_len, kv_len, size, MASK, ALL)
    else:
        return seen.first_key(row, q_len, kv_len, size, table, MASK)


@triton.jit
def _high(
    row: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    size: tl.tensor,
    table: tl.tensor,
    OF_KEYS: tl.constexpr,
    MASK: tl.constexpr,
    ALL: tl.constexpr,
) -> tl.tensor:
    if OF_KEYS:
        return seen.query_end(row, q_len, kv_len, size, table, MASK)
    else:
        return seen.key_end(row, q_len, kv_len, size, MASK, ALL)


@triton.jit
def keys_of_queries(
    first: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, size: tl.tensor, table: tl.tensor, PLAN: tl.constexpr
) -> tl.tuple:
    """The `spans` of keys that the tile of queries from row `first` on may see."""
    last = tl.minimum(first + PLAN.block_m, q_len) - 1
    return spans(first, last, kv_len, q_len, kv_len, size, table, PLAN.block_n, OF_KEYS=False, PLAN=PLAN)


@triton.jit
def queries_of_keys(
    first: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, size: tl.tensor, table: tl.tensor, PLAN: tl.constexpr
) -> tl.tuple:
    """The `spans` of queries that may see the tile of keys from row `first` on."""
    last = tl.minimum(first + PLAN.block_n, kv_len) - 1
    return spans(first, last, q_len, q_len, kv_len, size, table, PLAN.block_m, OF_KEYS=True, PLAN=PLAN)


@triton.jit
def tile_count(span: tl.tuple, BLOCK: tl.constexpr, MASKED: tl.constexpr) -> tl.tensor:
    """How many tiles of `spans` need a mask, or need none."""
    begin, inner_begin, inner_end, end = span
    if MASKED:
        return (inner_begin - begin) // BLOCK + tl.cdiv(tl.maximum(end - inner_end, 0), BLOCK)
    else:
        return (inner_end - inner_begin) // BLOCK


@triton.jit
def tile_first(index: tl.tensor, span: tl.tuple, BLOCK: tl.constexpr, MASKED: tl.constexpr) -> tl.tensor:
    """First row of one of the tiles that `tile_count` counts."""
    begin, inner_begin, inner_end, _ = span
    if MASKED:
        row = begin + index * BLOCK
        return tl.where(row < inner_begin, row, row - inner_begin + inner_end)
    else:
        return inner_begin + index * BLOCK
