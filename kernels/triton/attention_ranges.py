"""Which tiles an attention kernel takes: the place of a program, the ranges of tiles that meet, the mask within one.

Names in capitals are compile-time constants; PLAN is a `Plan` of `attention_arguments`.
"""

import triton
import triton.language as tl


@triton.jit
def place(
    cu_seqlens: tl.tensor,
    sequences: tl.tensor,
    rows: tl.tensor,
    heads: tl.tensor,
    BLOCK: tl.constexpr,
    PACKED: tl.constexpr,
    LAST_FIRST: tl.constexpr,
) -> tl.tuple:
    """This program's (tile, head, sequence) in a flat grid, tiles running fastest; LAST_FIRST has them run down.

    rows: of a sequence, or of the whole pack. A pack's sequence n, from row a to row b, has the places
    a // BLOCK + n to b // BLOCK + n of a head: one for each of its tiles, and at times one of no use, whose tile begins
    past the sequence's end. So places follow from the cumulative lengths alone, and are no more than
    rows // BLOCK + sequences (`Sizes.programs`).
    """
    places = rows // BLOCK + sequences if PACKED else tl.cdiv(rows, BLOCK)
    program = tl.program_id(0)
    row = program // places
    tile = program % places
    if LAST_FIRST:
        tile = places - 1 - tile
    if PACKED:
        sequence = sequence_at(cu_seqlens, sequences, tile, BLOCK)
        return tile - sequence - tl.load(cu_seqlens + sequence) // BLOCK, row, sequence
    else:
        return tile, row % heads, row // heads


@triton.jit
def sequence_at(cu_seqlens: tl.tensor, sequences: tl.tensor, at: tl.tensor, BLOCK: tl.constexpr) -> tl.tensor:
    """The last sequence whose first place in a head is `at` or before it; each step leaves a 128th of them."""
    sequence = at * 0
    step = sequences
    while step > 1:
        step = tl.cdiv(step, 128)
        n = sequence + tl.arange(0, 128) * step
        begins = tl.load(cu_seqlens + n, mask=n < sequences, other=0) // BLOCK + n
        sequence += step * (tl.sum(((begins <= at) & (n < sequences)).to(tl.int32), 0) - 1)
    return sequence


@triton.jit
def lengths(
    cu_seqlens: tl.tensor, sequence: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, PACKED: tl.constexpr
) -> tl.tuple:
    """(start, queries, keys) of a sequence; start is its first row where packed, else its place in the batch."""
    if PACKED:
        start = tl.load(cu_seqlens + sequence)
        length = tl.load(cu_seqlens + sequence + 1) - start
        return start, length, length
    else:
        return sequence, q_len, kv_len


@triton.jit
def this_tile(
    cu_seqlens: tl.tensor,
    sequences: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    heads: tl.tensor,
    OF_KEYS: tl.constexpr,
    PLAN: tl.constexpr,
) -> tl.tuple:
    """(first row, head, start, queries, keys): this program's tile, of queries or of keys, and its sequence's lengths.

    Of queries with a causal mask, those that see most keys are taken first. A tile may begin past its sequence's end.
    """
    BLOCK: tl.constexpr = PLAN.block_n if OF_KEYS else PLAN.block_m
    LAST_FIRST: tl.constexpr = PLAN.causal and not OF_KEYS
    rows = kv_len if OF_KEYS else q_len
    tile, head, sequence = place(cu_seqlens, sequences, rows, heads, BLOCK, PLAN.packed, LAST_FIRST)
    start, q_len, kv_len = lengths(cu_seqlens, sequence, q_len, kv_len, PLAN.packed)
    return tile * BLOCK, head, start, q_len, kv_len


@triton.jit
def spans(
    first: tl.tensor,
    last: tl.tensor,
    low: tl.tensor,
    high: tl.tensor,
    length: tl.tensor,
    BLOCK: tl.constexpr,
    HAS_LOW: tl.constexpr,
    HAS_HIGH: tl.constexpr,
) -> tl.tuple:
    """Tiles of the other axis that rows first..last may meet, row t being permitted t + low <= x < t + high.

    Returns (begin, inner_begin, inner_end, end), multiples of BLOCK but for end: tiles in [inner_begin, inner_end)
    need no mask, those in [begin, inner_begin) and [inner_end, end) do, and all others are skipped.
    """
    begin = length * 0
    inner_begin = begin
    end = length
    inner_end = length
    if HAS_LOW:
        begin = tl.maximum(first + low, 0) // BLOCK * BLOCK
        inner_begin = tl.cdiv(tl.maximum(last + low, 0), BLOCK) * BLOCK
    if HAS_HIGH:
        end = tl.maximum(tl.minimum(last + high, length), begin)
        inner_end = tl.maximum(tl.minimum(first + high, length), 0)
    # Where every tile needs a mask, the first masked range covers them all and the second is empty.
    inner_begin = tl.minimum(inner_begin, tl.cdiv(tl.maximum(end, begin), BLOCK) * BLOCK)
    inner_end = tl.maximum(inner_end // BLOCK * BLOCK, inner_begin)
    return begin, inner_begin, inner_end, end


@triton.jit
def keys_of_queries(
    first: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, window: tl.tensor, PLAN: tl.constexpr
) -> tl.tuple:
    """The `spans` of keys that the tile of queries from row `first` on may see."""
    shift = kv_len - q_len
    last = tl.minimum(first + PLAN.block_m, q_len) - 1
    return spans(
        first, last, shift - window + 1, shift + 1, kv_len, PLAN.block_n, HAS_LOW=PLAN.windowed, HAS_HIGH=PLAN.causal
    )


@triton.jit
def queries_of_keys(
    first: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, window: tl.tensor, PLAN: tl.constexpr
) -> tl.tuple:
    """The `spans` of queries that may see the tile of keys from row `first` on."""
    shift = kv_len - q_len
    last = tl.minimum(first + PLAN.block_n, kv_len) - 1
    return spans(first, last, -shift, window - shift, q_len, PLAN.block_m, HAS_LOW=PLAN.causal, HAS_HIGH=PLAN.windowed)


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


@triton.jit
def attention_mask(
    queries: tl.tensor,
    keys: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    window: tl.tensor,
    PLAN: tl.constexpr,
) -> tl.tensor:
    """Whether a query may see a key; the diagonal is aligned bottom-right."""
    shift = kv_len - q_len
    mask = keys < kv_len
    if PLAN.causal:
        mask = mask & (keys <= queries + shift)
    if PLAN.windowed:
        mask = mask & (keys > queries + shift - window)
    return mask
