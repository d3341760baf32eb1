"""What the decoding kernels share on the device: the place of a token in a cache, and codes turned into numbers.

A tile of tokens is in parts, as in `attention_tiles`: of a head size of 80 the columns are 64 and 16. Codes of four
bits come in two parts of half the width: of each 32 channels the low bits of a byte hold the first 16, its high bits
the rest.
"""

import triton
import triton.language as tl

from attnlab.kernels.triton.attention_tiles import INTERPRETED, narrow

SAME = tl.constexpr("same")
INT8 = tl.constexpr("int8")
FP8 = tl.constexpr("fp8")  # e4m3 that the device converts by itself
FP8_BITS = tl.constexpr("fp8_bits")  # e4m3 as bytes, for devices before sm_89
INT4 = tl.constexpr("int4")


@triton.jit
def token_places(
    table: tl.tensor, table_stride: tl.tensor, sequence: tl.tensor, first: tl.tensor, length: tl.tensor,
    PAGE: tl.constexpr, PAGED: tl.constexpr, WRAPS: tl.constexpr, BLOCK: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """(page, place) of BLOCK tokens from `first`, a multiple of BLOCK; page is one number where they share it.

    The block table is read once for each page of the tile, or once a token where pages are smaller than the tile.
    """
    tokens = first + tl.arange(0, BLOCK)
    row = table + tl.cast(sequence, tl.int64) * table_stride
    if PAGED and PAGE >= BLOCK:
        return tl.cast(tl.load(row + first // PAGE), tl.int64), first % PAGE + tl.arange(0, BLOCK)
    elif PAGED:
        return tl.cast(tl.load(row + tokens // PAGE, mask=tokens < length, other=0), tl.int64), tokens % PAGE
    elif WRAPS:
        return tl.cast(sequence, tl.int64), tokens % PAGE
    else:
        return tl.cast(sequence, tl.int64), tokens


@triton.jit
def token_place(
    table: tl.tensor, table_stride: tl.tensor, sequence: tl.tensor, token: tl.tensor,
    PAGE: tl.constexpr, PAGED: tl.constexpr, WRAPS: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """(page, place) of one token."""
    if PAGED:
        page = tl.load(table + tl.cast(sequence, tl.int64) * table_stride + token // PAGE)
        return tl.cast(page, tl.int64), token % PAGE
    elif WRAPS:
        return tl.cast(sequence, tl.int64), token % PAGE
    else:
        return tl.cast(sequence, tl.int64), token


@triton.jit
def row_offsets(strides: tl.tuple, page: tl.tensor, row: tl.tensor, head: tl.tensor) -> tl.tensor:
    """Elements from the start of a plane [pages, rows, heads, width] to the rows; strides of its first three axes.

    In 64 bits, for planes may pass 2^31 elements.
    """
    return (
        tl.cast(page, tl.int64) * strides[0]
        + tl.cast(row, tl.int64) * strides[1]
        + tl.cast(head, tl.int64) * strides[2]
    )


@triton.jit
def channels(START: tl.constexpr, BLOCK: tl.constexpr, PACKED: tl.constexpr) -> tl.tensor:
    """Channels that a part's columns stand for: START on, or those whose four bits lie at START of each 32."""
    columns = tl.arange(0, BLOCK)
    if PACKED:
        return columns // 16 * 32 + columns % 16 + START
    else:
        return START + columns


@triton.jit
def load_numbers(
    codes: tl.tensor, offsets: tl.tensor, mask: tl.tensor, WIDTH: tl.constexpr, BLOCKS: tl.constexpr,
    KIND: tl.constexpr, DTYPE: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """Codes of the tokens at `offsets` [N] as numbers of DTYPE, in parts [N, BLOCK]; four bits less 8."""
    if KIND == INT4:
        raw = _load(codes, offsets, mask, 0, BLOCKS[0], WIDTH // 2)
        return _signed(raw & 15, DTYPE), _signed(raw >> 4, DTYPE)
    elif len(BLOCKS) == 1:
        return (_number(_load(codes, offsets, mask, 0, BLOCKS[0], WIDTH), KIND, DTYPE),)
    else:
        left = _number(_load(codes, offsets, mask, 0, BLOCKS[0], WIDTH), KIND, DTYPE)
        return left, _number(_load(codes, offsets, mask, BLOCKS[0], BLOCKS[1], WIDTH), KIND, DTYPE)


@triton.jit
def _load(
    codes: tl.tensor, offsets: tl.tensor, mask: tl.tensor, START: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr
) -> tl.tensor:
    columns = START + tl.arange(0, BLOCK)[None, :]
    pointers = codes + offsets[:, None] + columns
    if START + BLOCK > WIDTH:
        return tl.load(pointers, mask=mask[:, None] & (columns < WIDTH), other=0.0)
    else:
        return tl.load(pointers, mask=mask[:, None], other=0.0)


@triton.jit
def _number(raw: tl.tensor, KIND: tl.constexpr, DTYPE: tl.constexpr) -> tl.tensor:
    if KIND == FP8_BITS:  # as float16, whose exponent has one bit more and another bias
        bits = ((raw.to(tl.uint16) & 0x80) << 8) | ((raw.to(tl.uint16) & 0x7F) << 7)
        return (bits.to(tl.float16, bitcast=True) * 256.0).to(DTYPE)
    else:
        return _convert(raw, DTYPE)


@triton.jit
def _signed(nibble: tl.tensor, DTYPE: tl.constexpr) -> tl.tensor:
    return _convert(nibble.to(tl.int8) - 8, DTYPE)


@triton.jit
def _convert(codes: tl.tensor, DTYPE: tl.constexpr) -> tl.tensor:
    """Codes as numbers of DTYPE, which holds each of them exactly; the interpreter has no such way to bfloat16."""
    if INTERPRETED and tl.bfloat16 == DTYPE:
        return narrow(codes.to(tl.float32), DTYPE)
    else:
        return codes.to(DTYPE)


@triton.jit
def each_of_group(groups: tl.tensor, TOKENS: tl.constexpr, GROUPS: tl.constexpr) -> tl.tensor:
    """[N, GROUPS] -> [N, GROUPS · 16]: a number for each of the 16 columns that a part has of 32 channels."""
    return tl.reshape(tl.broadcast_to(groups[:, :, None], [TOKENS, GROUPS, 16]), [TOKENS, GROUPS * 16])
