"""The kernel of decoding: softmax(scale · q kᵀ) v of a few rows over tiles of a cache, as units of equal work.

Tiles that every row sees whole are taken by a loop without masks, the others by one with them.
"""

import triton
import triton.language as tl

from attnlab.kernels.triton.attention_tiles import narrow
from attnlab.kernels.triton.decode_planes import INT4, SAME
from attnlab.kernels.triton.decode_tiles import (
    add_values,
    group_scales,
    load_parts,
    order,
    pages_of,
    part_channels,
    row_offsets,
    scale_parts,
    score_parts,
    tile_rows,
    token_scales,
    zero_parts,
)
from attnlab.kernels.triton.decode_work import add_up, is_last, part_of, tiles_of

TINY = tl.constexpr(1.2e-38)  # the least that float32 holds in full
LEAST = tl.constexpr(-126)  # exponent of the least number that float32 holds in full
GRAIN = tl.constexpr(14)  # weights times scales of values reach up to 2^15, well within float16


@triton.jit(do_not_specialize=["sequences", "group", "q_len", "window", "units", "target"])
def decode_kernel(
    q: tl.tensor, keys: tl.tuple, values: tl.tuple, out: tl.tensor, partial: tl.tensor, lse: tl.tensor,
    counters: tl.tensor, lengths: tl.tensor, table: tl.tensor, table_stride: tl.tensor,
    q_strides: tl.tuple, key_strides: tl.tuple, value_strides: tl.tuple, out_strides: tl.tuple,
    scale_log2: tl.tensor, sequences: tl.tensor, group: tl.tensor, q_len: tl.tensor, window: tl.tensor,
    units: tl.tensor, target: tl.tensor,
    KEYS: tl.constexpr, VALUES: tl.constexpr, PLACE: tl.constexpr, WINDOWED: tl.constexpr, HEAD_DIM: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, ROWS: tl.constexpr, INNER: tl.constexpr,
) -> None:  # fmt: skip
    """One unit of one key-value head and BLOCK_M of its rows; `units` is a bound of those, `target` what they aim at.

    keys, values: planes data, scale and minimum; their strides: those of data, then of scale. KEYS, VALUES and PLACE:
    see `decode_tiles`. ROWS: least power of two that holds the rows of a program. INNER: tiles in flight.
    """
    m_tiles = tl.cdiv(q_len * group, BLOCK_M)
    m_tile = tl.program_id(0) % m_tiles
    unit = tl.program_id(0) // m_tiles % units
    head = tl.program_id(0) // m_tiles // units
    sequence, first_unit, parts = part_of(
        unit, target, lengths, sequences, q_len, m_tile * BLOCK_M // group, window, WINDOWED, BLOCK_N
    )
    if sequence < sequences:
        _unit(
            q, keys, values, out, partial, lse, counters, lengths, table, table_stride,
            q_strides, key_strides, value_strides, out_strides, scale_log2, sequences, group, q_len, window,
            sequence, head, m_tile, m_tiles, (tl.cast(head, tl.int64) * m_tiles + m_tile) * units + first_unit,
            unit - first_unit, parts, KEYS, VALUES, PLACE, WINDOWED, HEAD_DIM, BLOCK_M, BLOCK_N, ROWS, INNER,
        )  # fmt: skip


@triton.jit
def _unit(
    q: tl.tensor, keys: tl.tuple, values: tl.tuple, out: tl.tensor, partial: tl.tensor, lse: tl.tensor,
    counters: tl.tensor, lengths: tl.tensor, table: tl.tensor, table_stride: tl.tensor,
    q_strides: tl.tuple, key_strides: tl.tuple, value_strides: tl.tuple, out_strides: tl.tuple,
    scale_log2: tl.tensor, sequences: tl.tensor, group: tl.tensor, q_len: tl.tensor, window: tl.tensor,
    sequence: tl.tensor, head: tl.tensor, m_tile: tl.tensor, m_tiles: tl.tensor, first_part: tl.tensor,
    part: tl.tensor, parts: tl.tensor,
    KEYS: tl.constexpr, VALUES: tl.constexpr, PLACE: tl.constexpr, WINDOWED: tl.constexpr, HEAD_DIM: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, ROWS: tl.constexpr, INNER: tl.constexpr,
) -> None:  # fmt: skip
    """One of the `parts` of a sequence for some rows, and what becomes of its result."""
    length = tl.load(lengths + sequence)
    first, count = tiles_of(length, q_len, m_tile * BLOCK_M // group, window, WINDOWED, BLOCK_N)
    low = (part * tl.cast(count, tl.int64) // parts).to(tl.int32)
    high = ((part + 1) * tl.cast(count, tl.int64) // parts).to(tl.int32)
    rows = m_tile * BLOCK_M + tl.arange(0, BLOCK_M)  # a query token after another, the heads of the group within
    query = rows // group
    real = rows < q_len * group
    q_rows = row_offsets(q_strides, sequence, head * group + rows % group, query)
    queries, log2 = _load_queries(q, q_rows, real, keys[1], head, scale_log2, HEAD_DIM, KEYS)
    position = length - q_len + query  # of each row's token; negative where it sees nothing

    # Tiles from `inner` to `inner_end` are seen whole by all rows.
    last_query = tl.minimum(m_tile * BLOCK_M + BLOCK_M - 1, q_len * group - 1) // group
    inner = low
    if WINDOWED:
        seen_from = tl.maximum(length - q_len + last_query - window + 1, 0)
        inner = tl.minimum(tl.maximum(tl.cdiv(seen_from, BLOCK_N) - first, low), high)
    seen_to = tl.maximum(length - q_len + m_tile * BLOCK_M // group + 1, 0)
    inner_end = tl.maximum(tl.minimum(seen_to // BLOCK_N - first, high), inner)

    acc = zero_parts(BLOCK_M, VALUES)
    # Sums of few rows are kept column by column until the end: those across threads would cost more in each tile.
    BY_COLUMN: tl.constexpr = BLOCK_M == 16
    total = tl.full([BLOCK_M, BLOCK_N if BY_COLUMN else 1], 0, tl.float32)
    peak = tl.full([BLOCK_M], float("-inf"), tl.float32)
    grain = tl.cast(LEAST, tl.int32)
    before = inner - low
    pages = table + tl.cast(sequence, tl.int64) * table_stride
    for n in tl.range(0, before + high - inner_end, num_stages=1):
        tile = first + tl.where(n < before, low + n, inner_end + n - before)
        acc, total, peak, grain = _add_tile(
            queries, log2, keys, values, key_strides, value_strides, pages_of(pages, tile, sequence, length, PLACE,
            KEYS, BLOCK_N), head, tile, length, position, window, acc, total, peak, grain,
            KEYS, VALUES, PLACE, WINDOWED, HEAD_DIM, BLOCK_N, True,
        )  # fmt: skip
    # Pages are looked up a tile ahead, so that loads of the next one need not wait for them.
    held = pages_of(pages, first + inner, sequence, length, PLACE, KEYS, BLOCK_N)
    for tile in tl.range(first + inner, first + inner_end, num_stages=INNER):
        ahead = pages_of(pages, tile + 1, sequence, length, PLACE, KEYS, BLOCK_N)
        acc, total, peak, grain = _add_tile(
            queries, log2, keys, values, key_strides, value_strides, held, head, tile, length, position, window,
            acc, total, peak, grain, KEYS, VALUES, PLACE, WINDOWED, HEAD_DIM, BLOCK_N, False,
        )  # fmt: skip
        held = ahead

    total = tl.sum(total, 1)
    blind = total == 0
    inverse = 1 / tl.where(blind, 1.0, total)
    if VALUES[1] == "tensor":
        inverse *= tl.load(values[1])
    if VALUES[0] == INT4:
        inverse *= 2  # see `token_scales`
    elif VALUES[1] == "token":
        inverse *= _power_of_two(tl.maximum(grain - GRAIN, LEAST))
    acc = scale_parts(acc, inverse)
    if parts == 1:
        out_rows = row_offsets(out_strides, sequence, head * group + rows % group, query)
        _store(out, out_rows, real, acc, HEAD_DIM, VALUES)
    else:
        within = tl.arange(0, BLOCK_M)
        place = first_part + part
        _store(partial, (place * ROWS + within) * HEAD_DIM, real, acc, HEAD_DIM, VALUES)
        sums = tl.where(blind, float("-inf"), peak * log2 + tl.log2(tl.where(blind, 1.0, total)))
        tl.store(lse + place * ROWS + within, sums, mask=real)
        counter = counters + (tl.cast(head, tl.int64) * m_tiles + m_tile) * sequences + sequence
        if is_last(counter, parts):
            WIDTH: tl.constexpr = triton.next_power_of_2(HEAD_DIM)
            AT_ONCE: tl.constexpr = max(1, min(ROWS, 2048 // WIDTH))
            for start in tl.range(0, ROWS, AT_ONCE, num_stages=1):
                row = start + tl.arange(0, AT_ONCE)
                whole = m_tile * BLOCK_M + row
                out_rows = row_offsets(out_strides, sequence, head * group + whole % group, whole // group)
                add_up(
                    partial, lse, ROWS * HEAD_DIM, ROWS, first_part, parts, out, out_rows, row, whole < q_len * group,
                    HEAD_DIM, WIDTH, max(1, 4096 // (AT_ONCE * WIDTH)),
                )  # fmt: skip


@triton.jit
def _add_tile(
    queries: tl.tuple, log2: tl.tensor, keys: tl.tuple, values: tl.tuple, key_strides: tl.tuple,
    value_strides: tl.tuple, pages: tl.tuple, head: tl.tensor, tile: tl.tensor, length: tl.tensor,
    position: tl.tensor, window: tl.tensor, acc: tl.tuple, total: tl.tensor, peak: tl.tensor, grain: tl.tensor,
    KEYS: tl.constexpr, VALUES: tl.constexpr, PLACE: tl.constexpr, WINDOWED: tl.constexpr, HEAD_DIM: tl.constexpr,
    BLOCK_N: tl.constexpr, MASKED: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """The softmax's state after one more tile. peak is of scores before `log2`, which their row is multiplied by."""
    start = tile * BLOCK_N
    rows = order(BLOCK_N, KEYS)
    tokens = start + rows
    held = tokens < length
    first, places = (pages[0], _place(start, PLACE)), (pages[0], _place(tokens, PLACE))

    origin, offsets = tile_rows(key_strides[0], first, places, head, rows, PLACE)
    parts = load_parts(keys[0] + origin, offsets, held, HEAD_DIM, KEYS, MASKED)
    if KEYS[0] == INT4:
        parts = _scaled_keys(
            keys, parts, key_strides[1], pages[1], head, start, length, KEYS, PLACE, HEAD_DIM, BLOCK_N, MASKED
        )  # fmt: skip
    scores = score_parts(queries, parts)  # [M, N]
    if KEYS[1] == "token":
        origin, offsets = tile_rows(key_strides[1], first, places, head, rows, PLACE)
        scores *= _load_row(keys[1] + origin, offsets, held, MASKED)[None, :]
    if MASKED:
        allowed = held[None, :] & (tokens[None, :] <= position[:, None])
        if WINDOWED:
            allowed &= tokens[None, :] > position[:, None] - window
        scores = tl.where(allowed, scores, float("-inf"))

    new_peak = tl.maximum(peak, tl.max(scores, 1))
    anchor = tl.where(new_peak == float("-inf"), 0.0, new_peak) * log2  # -inf less -inf would be NaN
    weights = tl.exp2(scores * log2[:, None] - anchor[:, None])
    fade = tl.exp2(peak * log2 - anchor)
    if total.shape[1] == BLOCK_N:
        total = total * fade[:, None] + weights
    else:
        total = total * fade[:, None] + tl.sum(weights, 1)[:, None]

    origin, offsets = tile_rows(value_strides[0], first, places, head, rows, PLACE)
    parts = load_parts(values[0] + origin, offsets, held, HEAD_DIM, VALUES, MASKED)
    if VALUES[1] != "nothing" and VALUES[1] != "tensor":
        origin, offsets = tile_rows(value_strides[1], first, places, head, rows, PLACE)
        if VALUES[0] == INT4:
            parts = token_scales(
                values[1] + origin, values[2] + origin, offsets, held, parts,
                HEAD_DIM, VALUES, MASKED,
            )  # fmt: skip
        else:
            scales = _load_row(values[1] + origin, offsets, held, MASKED)
            coarser = tl.maximum(grain, _exponent(tl.max(tl.abs(scales), 0)))
            fade *= _power_of_two(grain - coarser)
            weights *= (scales * _power_of_two(-coarser + GRAIN))[None, :]
            grain = coarser
    return add_values(scale_parts(acc, fade), weights, parts), total, new_peak, grain


@triton.jit
def _place(token: tl.tensor, PLACE: tl.constexpr) -> tl.tensor:
    if PLACE[1] or PLACE[2]:
        return token % PLACE[0]
    else:
        return token


@triton.jit
def _scaled_keys(
    keys: tl.tuple, codes: tl.tuple, strides: tl.tuple, pages: tl.tensor, head: tl.tensor, start: tl.tensor,
    length: tl.tensor, KEYS: tl.constexpr, PLACE: tl.constexpr, HEAD_DIM: tl.constexpr, BLOCK_N: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """Half of four-bit keys; their scales lie in rows of a group of 32 tokens each."""
    group = tl.arange(0, BLOCK_N // 32)
    token = start + 32 * group
    first, places = (pages, _place(start, PLACE) // 32), (pages, _place(token, PLACE) // 32)
    origin, offsets = tile_rows(strides, first, places, head, group, PLACE)
    return group_scales(
        keys[1] + origin, keys[2] + origin, offsets, token < length, codes,
        HEAD_DIM, KEYS, BLOCK_N, MASKED,
    )  # fmt: skip


@triton.jit
def _load_row(pointer: tl.tensor, offsets: tl.tensor, held: tl.tensor, MASKED: tl.constexpr) -> tl.tensor:
    if MASKED:
        return tl.load(pointer + offsets, mask=held, other=0.0)
    else:
        return tl.load(pointer + offsets)


@triton.jit
def _load_queries(
    q: tl.tensor, rows: tl.tensor, real: tl.tensor, k_scale: tl.tensor, head: tl.tensor, scale_log2: tl.tensor,
    HEAD_DIM: tl.constexpr, KEYS: tl.constexpr,
) -> tl.tuple:  # fmt: skip
    """(queries in parts [M, BLOCK] of the dtype of the keys, what scores of each row are multiplied by [M]).

    Queries have the scale of their channel where keys have one for each, set once. In float16 a row is a power of two
    times what it was, so that its largest lies between 1 and 2.
    """
    largest = tl.full([rows.shape[0]], 0, tl.float32)
    PARTS: tl.constexpr = len(KEYS[3]) * KEYS[2]
    DTYPE: tl.constexpr = KEYS[4]
    raw = ()  # type: tl.tuple
    for PART in tl.static_range(PARTS):
        channel = part_channels(PART, KEYS)
        known = channel < HEAD_DIM
        part = tl.load(q + rows[:, None] + channel[None, :], mask=real[:, None] & known[None, :], other=0.0)
        part = part.to(tl.float32)
        if KEYS[1] == "channel":
            part *= tl.load(k_scale + head * HEAD_DIM + channel, mask=known, other=0.0)[None, :]
        largest = tl.maximum(largest, tl.max(tl.abs(part), 1))
        raw += (part,)
    log2 = tl.full([rows.shape[0]], 0, tl.float32) + scale_log2
    sign = 1.0
    if KEYS[1] == "tensor":
        scale = tl.load(k_scale)
        log2 *= tl.abs(scale)
        sign = tl.where(scale < 0, -1.0, 1.0)
    if KEYS[0] == INT4:
        log2 *= 2  # see `group_scales`
    exponent = tl.full([rows.shape[0]], 0, tl.int32)
    if KEYS[0] != SAME:
        exponent = _exponent(largest)
        log2 *= _power_of_two(exponent)
    parts = ()  # type: tl.tuple
    for PART in tl.static_range(PARTS):
        parts += (narrow(raw[PART] * (sign * _power_of_two(-exponent))[:, None], DTYPE),)
    return parts, tl.where(log2 == 0, TINY, log2)


@triton.jit
def _exponent(number: tl.tensor) -> tl.tensor:
    """e of number = m · 2^e, 1 <= m < 2, of a positive float32; from -126 to 126 whatever it is."""
    bits = number.to(tl.int32, bitcast=True) >> 23 & 0xFF
    return tl.minimum(tl.maximum(bits - 127, LEAST), -LEAST)


@triton.jit
def _power_of_two(exponent: tl.tensor) -> tl.tensor:
    """2^exponent in float32; 0 below -126."""
    return (tl.maximum(exponent + 127, 0) << 23).to(tl.float32, bitcast=True)


@triton.jit
def _store(
    out: tl.tensor, rows: tl.tensor, real: tl.tensor, parts: tl.tuple, HEAD_DIM: tl.constexpr, VALUES: tl.constexpr
) -> None:
    for PART in tl.static_range(len(parts)):
        channel = part_channels(PART, VALUES)
        pointers = out + rows[:, None] + channel[None, :]
        tl.store(
            pointers, narrow(parts[PART], out.dtype.element_ty), mask=real[:, None] & (channel < HEAD_DIM)[None, :]
        )
