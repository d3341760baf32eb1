"""What the attention kernels share on the device: tiles of a head, their loads and stores, and dots.

Names in capitals are compile-time constants. A tile [ROWS, D] of a head is a tuple of one or two parts, side by side,
whose columns are powers of two: a head size of 80 is 64 + 16, not 128. HEAD, a `Width`, gives the size and the parts.
Strides are those of batch, head and row.
"""

import triton
import triton.language as tl

from attnlab.kernels.triton.device import dot, narrow


@triton.jit
def head_pointer(
    base: tl.tensor, strides: tl.tuple, start: tl.tensor, head: tl.tensor, PACKED: tl.constexpr
) -> tl.tensor:
    """Pointer to a sequence's first row in a head; in 64 bits, as tensors may pass 2^31 elements."""
    first = tl.cast(start, tl.int64) * (strides[2] if PACKED else strides[0])
    return base + first + tl.cast(head, tl.int64) * strides[1]


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
