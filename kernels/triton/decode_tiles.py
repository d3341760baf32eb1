"""What the kernels over a cache share on the device: the place of a token, and tiles of queries, keys and values.

A tile is in parts, side by side, as in `attention_tiles`: here each plane of units (see `decode_planes`) is a part, and
where the units of a row are no power of two they come in two blocks, 32 and 16 of 48 say, whose planes follow each
other. `part_channels` says which channels a part's columns stand for.

FORM says how keys or values are stored, PAGING where tokens are (see `cache_forms`).
"""

import triton
import triton.language as tl

from attnlab.kernels.triton.decode_planes import INT4, apply_scale, numbers
from attnlab.kernels.triton.device import dot, narrow


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
def token_place(
    table: tl.tensor, table_stride: tl.tensor, sequence: tl.tensor, token: tl.tensor, PAGING: tl.constexpr
) -> tl.tuple:
    """(page, row in it) of one token."""
    if PAGING.has_table:
        page = tl.load(table + tl.cast(sequence, tl.int64) * table_stride + token // PAGING.page_tokens)
        return tl.cast(page, tl.int64), token % PAGING.page_tokens
    elif PAGING.wraps:
        return tl.cast(sequence, tl.int64), token % PAGING.page_tokens
    else:
        return tl.cast(sequence, tl.int64), token


@triton.jit
def order(BLOCK: tl.constexpr, FORM: tl.constexpr) -> tl.tensor:
    """Which token of a tile each of its rows holds.

    Of a product's columns each of four warps has every fourth eight. With four-bit keys their tokens follow each other,
    so that a warp needs the scales of one group of tokens.
    """
    row = tl.arange(0, BLOCK)
    if FORM.kind == INT4:
        return BLOCK // 4 * (row // 8 % 4) + 8 * (row // 32) + row % 8
    else:
        return row


@triton.jit
def pages_of(table: tl.tensor, tile: tl.tensor, sequence: tl.tensor, length: tl.tensor, PLAN: tl.constexpr) -> tl.tuple:
    """(pages of a tile's tokens, of its groups of 32): one number where they share it, else one for each.

    table: a sequence's row of the block table. Past its last token it is the last one's.
    """
    KEYS: tl.constexpr = PLAN.keys
    PAGING: tl.constexpr = PLAN.paging
    BLOCK: tl.constexpr = PLAN.block_n
    if PAGING.has_table:
        last = tl.maximum(length - 1, 0)
        start = tile * BLOCK
        if PAGING.adjacent:
            page = tl.load(table + tl.minimum(start, last) // PAGING.page_tokens, mask=length > 0, other=0)
            page = tl.cast(page, tl.int64)
            return page, page
        else:
            pages = _look_up(table, tl.minimum(start + order(BLOCK, KEYS), last), length, PAGING)
            if KEYS.kind == INT4:
                token = tl.minimum(start + 32 * tl.arange(0, BLOCK // 32), last)
                return pages, _look_up(table, token, length, PAGING)
            else:
                return pages, pages
    else:
        page = tl.cast(sequence, tl.int64)
        return page, page


@triton.jit
def _look_up(table: tl.tensor, token: tl.tensor, length: tl.tensor, PAGING: tl.constexpr) -> tl.tensor:
    pages = tl.load(table + token // PAGING.page_tokens, mask=(token >= 0) & (length > 0), other=0)
    return tl.cast(pages, tl.int64)


@triton.jit
def tile_rows(
    strides: tl.tuple, first: tl.tuple, places: tl.tuple, head: tl.tensor, rows: tl.tensor, PAGING: tl.constexpr
) -> tl.tuple:
    """(elements to a tile, elements from there to each of its rows): what of the way is the same for all is one number.

    first: page and place of the tile's first token; places: those of each row's token, used where these lie apart.
    """
    if PAGING.adjacent:
        # The second does not change from tile to tile; in 32 bits, where those are enough, it takes half the registers.
        if PAGING.wide:
            rows = tl.cast(rows, tl.int64)
        return row_offsets(strides, first[0], first[1], head), rows * strides[1]
    else:
        return tl.cast(head, tl.int64) * strides[2], places[0] * strides[0] + tl.cast(places[1], tl.int64) * strides[1]


@triton.jit
def part_channels(PART: tl.constexpr, FORM: tl.constexpr) -> tl.tensor:
    """Channels that the columns of a part stand for."""
    KIND: tl.constexpr = FORM.kind
    PLANES: tl.constexpr = FORM.planes
    BLOCKS: tl.constexpr = FORM.blocks
    PLANE: tl.constexpr = PART % PLANES
    AT: tl.constexpr = PART // PLANES
    unit = tl.arange(0, BLOCKS[AT])
    if AT == 1:
        unit += BLOCKS[0]
    if KIND != INT4:
        return unit * PLANES + PLANE
    elif PLANES == 2:  # bytes: of each 32 channels the low bits hold the first 16
        return unit // 16 * 32 + unit % 16 + 16 * PLANE
    else:
        return unit // 8 * 32 + unit % 8 * 2 + 16 * (PLANE % 2) + PLANE // 2


@triton.jit
def zero_parts(ROWS: tl.constexpr, FORM: tl.constexpr) -> tl.tuple:
    """A tile of zeros in float32."""
    PLANES: tl.constexpr = FORM.planes
    BLOCKS: tl.constexpr = FORM.blocks
    parts = ()  # type: tl.tuple
    for PART in tl.static_range(len(BLOCKS) * PLANES):
        parts += (tl.full([ROWS, BLOCKS[PART // PLANES]], 0, tl.float32),)
    return parts


@triton.jit
def scale_parts(tile: tl.tuple, factor: tl.tensor) -> tl.tuple:
    """tile times a factor for each row [ROWS]."""
    parts = ()  # type: tl.tuple
    for PART in tl.static_range(len(tile)):
        parts += (tile[PART] * factor[:, None],)
    return parts


@triton.jit
def score_parts(queries: tl.tuple, keys: tl.tuple) -> tl.tensor:
    """Queries times keys [M, N] in float32."""
    scores = dot(queries[0], tl.trans(keys[0]), None, "ieee")
    for PART in tl.static_range(1, len(keys)):
        scores = dot(queries[PART], tl.trans(keys[PART]), scores, "ieee")
    return scores


@triton.jit
def add_values(acc: tl.tuple, weights: tl.tensor, values: tl.tuple) -> tl.tuple:
    """acc plus weights [M, N], rounded to the dtype of the values, times values."""
    weights = narrow(weights, values[0].dtype)
    parts = ()  # type: tl.tuple
    for PART in tl.static_range(len(values)):
        parts += (dot(weights, values[PART], acc[PART], "ieee"),)
    return parts


@triton.jit
def group_scales(
    scale: tl.tensor,
    minimum: tl.tensor,
    rows: tl.tensor,
    there: tl.tensor,
    codes: tl.tuple,
    HEAD_DIM: tl.constexpr,
    FORM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tuple:
    """Half of four-bit keys: each channel of 32 tokens has a scale and a minimum, at `rows` [BLOCK_N / 32]."""
    DTYPE: tl.constexpr = FORM.dtype
    parts = ()  # type: tl.tuple
    for PART in tl.static_range(len(codes)):
        channel = part_channels(PART, FORM)
        known = (channel < HEAD_DIM)[None, :]
        if MASKED:
            known &= there[:, None]
        offsets = rows[:, None] + channel[None, :]
        factor = _over_groups(_load_scales(scale + offsets, known, HEAD_DIM, FORM, MASKED), BLOCK_N)
        least = _over_groups(_load_scales(minimum + offsets, known, HEAD_DIM, FORM, MASKED), BLOCK_N)
        parts += (apply_scale(codes[PART], factor, least * 0.5, DTYPE),)
    return parts


@triton.jit
def token_scales(
    scale: tl.tensor,
    minimum: tl.tensor,
    rows: tl.tensor,
    valid: tl.tensor,
    codes: tl.tuple,
    HEAD_DIM: tl.constexpr,
    FORM: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tuple:
    """Half of four-bit values: 32 channels of a token have a scale and a minimum, at `rows` [N] on."""
    PLANES: tl.constexpr = FORM.planes
    BLOCKS: tl.constexpr = FORM.blocks
    DTYPE: tl.constexpr = FORM.dtype
    EACH: tl.constexpr = 32 // PLANES
    parts = ()  # type: tl.tuple
    for AT in tl.static_range(len(BLOCKS)):
        group = AT * BLOCKS[0] // EACH + tl.arange(0, BLOCKS[AT] // EACH)
        known = (group < HEAD_DIM // 32)[None, :]
        if MASKED:
            known &= valid[:, None]
        offsets = rows[:, None] + group[None, :]
        factor = _over_columns(_load_scales(scale + offsets, known, HEAD_DIM, FORM, MASKED), EACH)
        least = _over_columns(_load_scales(minimum + offsets, known, HEAD_DIM, FORM, MASKED), EACH)
        for PLANE in tl.static_range(PLANES):
            parts += (apply_scale(codes[AT * PLANES + PLANE], factor, least * 0.5, DTYPE),)
    return parts


@triton.jit
def _load_scales(
    pointers: tl.tensor, known: tl.tensor, HEAD_DIM: tl.constexpr, FORM: tl.constexpr, MASKED: tl.constexpr
) -> tl.tensor:
    PLANES: tl.constexpr = FORM.planes
    BLOCKS: tl.constexpr = FORM.blocks
    WIDTH: tl.constexpr = BLOCKS[0] if len(BLOCKS) == 1 else BLOCKS[0] + BLOCKS[1]
    if MASKED or WIDTH * PLANES > HEAD_DIM:
        return tl.load(pointers, mask=known, other=0.0)
    else:
        return tl.load(pointers)


@triton.jit
def _over_groups(scales: tl.tensor, BLOCK_N: tl.constexpr) -> tl.tensor:
    """[BLOCK_N / 32, C] -> [BLOCK_N, C]: those of each row's token, in the order that `order` gives rows."""
    GROUPS: tl.constexpr = BLOCK_N // 32
    COLUMNS: tl.constexpr = scales.shape[1]
    spread = tl.broadcast_to(scales[None, :, None, None, :], [GROUPS, GROUPS, 4 // GROUPS, 8, COLUMNS])
    return tl.reshape(spread, [BLOCK_N, COLUMNS])


@triton.jit
def _over_columns(scales: tl.tensor, EACH: tl.constexpr) -> tl.tensor:
    """[N, G] -> [N, G · EACH]."""
    ROWS: tl.constexpr = scales.shape[0]
    GROUPS: tl.constexpr = scales.shape[1]
    return tl.reshape(tl.broadcast_to(scales[:, :, None], [ROWS, GROUPS, EACH]), [ROWS, GROUPS * EACH])


@triton.jit
def load_parts(
    units: tl.tensor,
    rows: tl.tensor,
    valid: tl.tensor,
    HEAD_DIM: tl.constexpr,
    FORM: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tuple:
    """Rows of units at `rows` [N] as parts [N, BLOCK] of numbers: codes, where they have a scale.

    Rows that are not `valid` and columns past the row are zeros, the former only where MASKED.
    """
    KIND: tl.constexpr = FORM.kind
    PLANES: tl.constexpr = FORM.planes
    BLOCKS: tl.constexpr = FORM.blocks
    DTYPE: tl.constexpr = FORM.dtype
    UNITS: tl.constexpr = HEAD_DIM // PLANES
    parts = ()  # type: tl.tuple
    for AT in tl.static_range(len(BLOCKS)):
        column = AT * BLOCKS[0] + tl.arange(0, BLOCKS[AT])[None, :]
        pointers = units + (rows[:, None] + column)
        if MASKED and AT * BLOCKS[0] + BLOCKS[AT] > UNITS:
            raw = tl.load(pointers, mask=valid[:, None] & (column < UNITS), other=0.0)
        elif MASKED:
            raw = tl.load(pointers, mask=valid[:, None], other=0.0)
        elif AT * BLOCKS[0] + BLOCKS[AT] > UNITS:
            raw = tl.load(pointers, mask=column < UNITS, other=0.0)
        else:
            raw = tl.load(pointers)
        parts += numbers(raw, KIND, PLANES, DTYPE)
    return parts
