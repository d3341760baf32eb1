"""What the attention kernels share on the device: the place of a program, ranges of tiles, masks, loads, dots.

Names in capitals are compile-time constants. A tile [ROWS, D] of a head is a tuple of one or two parts, side by side,
whose columns are powers of two: a head size of 80 is 64 + 16, not 128. HEAD, a `Width`, gives the size and the parts.
Strides are those of batch, head and row.
"""

import triton
import triton.language as tl

from attnlab.kernels.triton.device import dot, narrow


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
def head_pointer(
    base: tl.tensor, strides: tl.tuple, start: tl.tensor, head: tl.tensor, PACKED: tl.constexpr
) -> tl.tensor:
    """Pointer to a sequence's first row in a head; in 64 bits, as tensors may pass 2^31 elements."""
    first = tl.cast(start, tl.int64) * (strides[2] if PACKED else strides[0])
    return base + first + tl.cast(head, tl.int64) * strides[1]


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
    first: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    window: tl.tensor,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    MASK: tl.constexpr,
) -> tl.tuple:
    """The `spans` of keys that the tile of queries from row `first` on may see."""
    shift = kv_len - q_len
    last = tl.minimum(first + BLOCK_M, q_len) - 1
    return spans(
        first, last, shift - window + 1, shift + 1, kv_len, BLOCK_N, HAS_LOW=MASK.windowed, HAS_HIGH=MASK.causal
    )


@triton.jit
def queries_of_keys(
    first: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    window: tl.tensor,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    MASK: tl.constexpr,
) -> tl.tuple:
    """The `spans` of queries that may see the tile of keys from row `first` on."""
    shift = kv_len - q_len
    last = tl.minimum(first + BLOCK_N, kv_len) - 1
    return spans(first, last, -shift, window - shift, q_len, BLOCK_M, HAS_LOW=MASK.causal, HAS_HIGH=MASK.windowed)


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
def permitted(
    queries: tl.tensor,
    keys: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    window: tl.tensor,
    MASK: tl.constexpr,
) -> tl.tensor:
    """Whether a query may see a key; the diagonal is aligned bottom-right."""
    shift = kv_len - q_len
    mask = keys < kv_len
    if MASK.causal:
        mask = mask & (keys <= queries + shift)
    if MASK.windowed:
        mask = mask & (keys > queries + shift - window)
    return mask


@triton.jit
def online_softmax(scores: tl.tensor, scale_log2: tl.tensor, peak: tl.tensor, total: tl.tensor) -> tl.tuple:
    """One more tile of scores [M, N] in a softmax whose peak [M], in base 2, and total [M] are known so far.

    Returns (weights [M, N], factor of earlier sums [M], new peak, new total). Milakov and Gimelshein, arXiv:1805.02867.
    """
    new_peak = tl.maximum(peak, tl.max(scores, 1) * scale_log2)
    anchor = tl.where(new_peak == float("-inf"), 0.0, new_peak)  # -inf less -inf would be NaN
    weights = tl.exp2(scores * scale_log2 - anchor[:, None])
    fade = tl.exp2(peak - anchor)
    return weights, fade, new_peak, total * fade + tl.sum(weights, 1)


@triton.jit
def load_rows(
    base: tl.tensor,
    strides: tl.tuple,
    first: tl.tensor,
    length: tl.tensor,
    ROWS: tl.constexpr,
    HEAD: tl.constexpr,
    RAGGED: tl.constexpr,
) -> tl.tuple:
    """Tile [ROWS, D] from row `first`; columns past the head's size and, where RAGGED, rows past length are zero."""
    left = _load_part(base, strides, first, length, ROWS, HEAD, 0, RAGGED)
    if len(HEAD.blocks) == 1:
        return (left,)
    else:
        return left, _load_part(base, strides, first, length, ROWS, HEAD, 1, RAGGED)


@triton.jit
def store_rows(
    base: tl.tensor,
    strides: tl.tuple,
    first: tl.tensor,
    length: tl.tensor,
    tile: tl.tuple,
    ROWS: tl.constexpr,
    HEAD: tl.constexpr,
) -> None:
    """Writes a tile [ROWS, D] from row `first`, cast to the pointer's dtype, up to row `length`."""
    _store_part(base, strides, first, length, tile[0], ROWS, HEAD, 0)
    if len(HEAD.blocks) == 2:
        _store_part(base, strides, first, length, tile[1], ROWS, HEAD, 1)


@triton.jit
def zero_rows(ROWS: tl.constexpr, HEAD: tl.constexpr) -> tl.tuple:
    """Tile [ROWS, D] of zeros in float32."""
    if len(HEAD.blocks) == 1:
        return (tl.full([ROWS, HEAD.blocks[0]], 0.0, tl.float32),)
    else:
        return tl.full([ROWS, HEAD.blocks[0]], 0.0, tl.float32), tl.full([ROWS, HEAD.blocks[1]], 0.0, tl.float32)


@triton.jit
def scale_rows(tile: tl.tuple, factor: tl.tensor) -> tl.tuple:
    """tile [ROWS, D] times a scalar or [ROWS, 1]."""
    if len(tile) == 1:
        return (tile[0] * factor,)
    else:
        return tile[0] * factor, tile[1] * factor


@triton.jit
def dot_rows(a: tl.tuple, b: tl.tuple, PRECISION: tl.constexpr) -> tl.tensor:
    """a bᵀ [M, N] of tiles a [M, D] and b [N, D]."""
    scores = dot(a[0], tl.trans(b[0]), None, PRECISION)
    if len(a) == 2:
        scores = dot(a[1], tl.trans(b[1]), scores, PRECISION)
    return scores


@triton.jit
def add_product(acc: tl.tuple, weights: tl.tensor, b: tl.tuple, PRECISION: tl.constexpr) -> tl.tuple:
    """acc [M, D] plus weights [M, N], rounded to b's dtype, times the tile b [N, D]."""
    weights = narrow(weights, b[0].dtype)
    if len(b) == 1:
        return (dot(weights, b[0], acc[0], PRECISION),)
    else:
        return dot(weights, b[0], acc[0], PRECISION), dot(weights, b[1], acc[1], PRECISION)


@triton.jit
def _load_part(
    base: tl.tensor,
    strides: tl.tuple,
    first: tl.tensor,
    length: tl.tensor,
    ROWS: tl.constexpr,
    HEAD: tl.constexpr,
    PART: tl.constexpr,
    RAGGED: tl.constexpr,
) -> tl.tensor:
    END: tl.constexpr = HEAD.blocks[0] if PART == 0 else HEAD.blocks[0] + HEAD.blocks[1]
    pointers, rows, columns = _part(base, strides, first, ROWS, HEAD, PART)
    # A mask that is always true would still cost registers.
    if RAGGED and HEAD.size < END:
        return tl.load(pointers, mask=(rows < length - first) & (columns < HEAD.size), other=0.0)
    elif RAGGED:
        return tl.load(pointers, mask=rows < length - first, other=0.0)
    elif HEAD.size < END:
        return tl.load(pointers, mask=columns < HEAD.size, other=0.0)
    else:
        return tl.load(pointers)


@triton.jit
def _store_part(
    base: tl.tensor,
    strides: tl.tuple,
    first: tl.tensor,
    length: tl.tensor,
    part: tl.tensor,
    ROWS: tl.constexpr,
    HEAD: tl.constexpr,
    PART: tl.constexpr,
) -> None:
    pointers, rows, columns = _part(base, strides, first, ROWS, HEAD, PART)
    tl.store(pointers, narrow(part, base.dtype.element_ty), mask=(rows < length - first) & (columns < HEAD.size))


@triton.jit
def _part(
    base: tl.tensor,
    strides: tl.tuple,
    first: tl.tensor,
    ROWS: tl.constexpr,
    HEAD: tl.constexpr,
    PART: tl.constexpr,
) -> tl.tuple:
    """Of a part: (pointers [ROWS, BLOCK], rows [ROWS, 1] from 0, columns [1, BLOCK] of the head)."""
    START: tl.constexpr = 0 if PART == 0 else HEAD.blocks[0]
    rows = tl.arange(0, ROWS)[:, None]
    columns = START + tl.arange(0, HEAD.blocks[PART])[None, :]
    first_row = base + tl.cast(first, tl.int64) * strides[2]
    return first_row + tl.cast(rows, tl.int64) * strides[2] + columns, rows, columns
