"""The kernel of decoding: softmax(scale · q kᵀ) v of a few rows over tiles of a cache, as units of equal work.

Tiles that every row sees whole are taken by a loop without masks, the others by one with them.
"""

import triton
import triton.language as tl

from attnlab.kernels.triton import attention_scores as softmax
from attnlab.kernels.triton import decode_tiles as tiles
from attnlab.kernels.triton.attention_seen import first_key, key_end
from attnlab.kernels.triton.decode_forms import Sizes, Unit
from attnlab.kernels.triton.decode_online import Rows, Softmax, add_tile
from attnlab.kernels.triton.decode_planes import INT4, SAME
from attnlab.kernels.triton.decode_scales import GRAIN, LEAST, exponent_of, power_of_two
from attnlab.kernels.triton.decode_work import Parts, add_up, is_last, part_of, tiles_of
from attnlab.kernels.triton.device import narrow

TINY = tl.constexpr(1.2e-38)  # the least that float32 holds in full


@triton.jit(do_not_specialize=["sequences", "group", "q_len", "size", "units", "target"])
def decode_kernel(
    tensors: tl.tuple,
    table_stride: tl.tensor,
    strides: tl.tuple,
    scale_log2: tl.tensor,
    sequences: tl.tensor,
    group: tl.tensor,
    q_len: tl.tensor,
    size: tl.tensor,
    units: tl.tensor,
    target: tl.tensor,
    PLAN: tl.constexpr,
) -> None:
    """One unit of one key-value head and a tile of its rows; `units` is a bound of those, `target` what they aim at.

    tensors, strides, PLAN: `Tensors`, `Strides` and `Plan`.
    """
    m_tiles = tl.cdiv(q_len * group, PLAN.block_m)
    m_tile = tl.program_id(0) % m_tiles
    unit = tl.program_id(0) // m_tiles % units
    head = tl.program_id(0) // m_tiles // units
    queries = _queries_of(m_tile, group, q_len, PLAN)
    sequence, first_unit, parts = part_of(unit, target, tensors.lengths, sequences, q_len, queries, size, PLAN)
    if sequence < sequences:
        lane = tl.cast(head, tl.int64) * m_tiles + m_tile
        _unit(
            tensors,
            table_stride,
            strides,
            scale_log2,
            Sizes(sequences, group, q_len, size),
            Unit(sequence, head, m_tile, lane, lane * units + first_unit, unit - first_unit, parts),
            PLAN,
        )


@triton.jit
def _unit(
    tensors: tl.tuple,
    table_stride: tl.tensor,
    strides: tl.tuple,
    scale_log2: tl.tensor,
    sizes: tl.tuple,
    unit: tl.tuple,
    PLAN: tl.constexpr,
) -> None:
    """One part of a sequence for some rows, and what becomes of its result."""
    VALUES: tl.constexpr = PLAN.values
    SHAPING: tl.constexpr = PLAN.shaping
    length = tl.load(tensors.lengths + unit.sequence)
    span = _tiles_of_part(length, sizes, unit, PLAN)
    row = unit.m_tile * PLAN.block_m + tl.arange(0, PLAN.block_m)
    real = row < sizes.q_len * sizes.group
    q_rows = _row_offsets(strides.q, row, sizes, unit)
    queries, log2 = _load_queries(tensors.q, q_rows, real, tensors.k[1], unit.head, scale_log2, PLAN)
    heads = unit.head * sizes.group + row % sizes.group
    bias = softmax.bias_of(tensors.extras, heads[:, None], SHAPING)
    rows = Rows(queries, log2, unit.head, length, row // sizes.group, sizes.q_len, sizes.size, bias)
    state = _attend(rows, tensors, table_stride, strides, sizes, unit, span, PLAN)
    total = tl.sum(state.total, 1)
    peak = state.peak * log2 if SHAPING.plain else state.peak
    if SHAPING.sinks:  # of all parts of a sequence the first has it
        sink = tl.where(unit.part == 0, tl.load(tensors.extras.sinks + heads), float("-inf"))
        fade, peak, total = softmax.add_sink(peak, total, sink)
        acc = tiles.scale_parts(state.acc, fade * _inverse(total, state.grain, tensors.v[1], VALUES))
    else:
        acc = tiles.scale_parts(state.acc, _inverse(total, state.grain, tensors.v[1], VALUES))
    if unit.parts == 1:
        out_rows = _row_offsets(strides.out, row, sizes, unit)
        _store(tensors.out, out_rows, real, acc, PLAN)
    else:
        within = tl.arange(0, PLAN.block_m)
        place = unit.first_part + unit.part
        _store(tensors.partial, (place * PLAN.rows + within) * PLAN.head_dim, real, acc, PLAN)
        blind = total == 0
        sums = tl.where(blind, float("-inf"), peak + tl.log2(tl.where(blind, 1.0, total)))
        tl.store(tensors.lse + place * PLAN.rows + within, sums, mask=real)
        if is_last(tensors.counters + unit.lane * sizes.sequences + unit.sequence, unit.parts):
            _add_parts(tensors, strides.out, sizes, unit, PLAN)


@triton.jit
def _queries_of(m_tile: tl.tensor, group: tl.tensor, q_len: tl.tensor, PLAN: tl.constexpr) -> tl.tuple:
    """The first and the last query of a tile of rows."""
    first_row = m_tile * PLAN.block_m
    return first_row // group, tl.minimum(first_row + PLAN.block_m - 1, q_len * group - 1) // group


@triton.jit
def _tiles_of_part(length: tl.tensor, sizes: tl.tuple, unit: tl.tuple, PLAN: tl.constexpr) -> tl.tuple:
    """(first, low, high): a unit has tiles `low` to `high`, counted from tile `first` of its sequence."""
    queries = _queries_of(unit.m_tile, sizes.group, sizes.q_len, PLAN)
    first, count = tiles_of(length, sizes.q_len, queries, sizes.size, PLAN)
    low = (unit.part * tl.cast(count, tl.int64) // unit.parts).to(tl.int32)
    high = ((unit.part + 1) * tl.cast(count, tl.int64) // unit.parts).to(tl.int32)
    return first, low, high


@triton.jit
def _whole_tiles(length: tl.tensor, span: tl.tuple, sizes: tl.tuple, unit: tl.tuple, PLAN: tl.constexpr) -> tl.tuple:
    """(inner, inner_end): those of a unit's tiles that all of its rows see whole."""
    first, low, high = span
    q_len = sizes.q_len
    first_query, last_query = _queries_of(unit.m_tile, sizes.group, q_len, PLAN)
    inner = low
    if PLAN.near:
        seen_from = tl.maximum(first_key(last_query, q_len, length, sizes.size, None, PLAN.mask), 0)
        inner = tl.minimum(tl.maximum(tl.cdiv(seen_from, PLAN.block_n) - first, low), high)
    # A prefix may be longer than what is cached.
    seen_to = tl.minimum(tl.maximum(key_end(first_query, q_len, length, sizes.size, PLAN.mask, ALL=True), 0), length)
    return inner, tl.maximum(tl.minimum(seen_to // PLAN.block_n - first, high), inner)


@triton.jit
def _row_offsets(strides: tl.tuple, rows: tl.tensor, sizes: tl.tuple, unit: tl.tuple) -> tl.tensor:
    """Elements to rows of q or out: a query token after another, the heads of the group within."""
    return tiles.row_offsets(strides, unit.sequence, unit.head * sizes.group + rows % sizes.group, rows // sizes.group)


@triton.jit
def _attend(
    rows: tl.tuple,
    tensors: tl.tuple,
    table_stride: tl.tensor,
    strides: tl.tuple,
    sizes: tl.tuple,
    unit: tl.tuple,
    span: tl.tuple,
    PLAN: tl.constexpr,
) -> tl.tuple:
    """The softmax's state after all tiles of a span: sums of values and of weights, the peak, and the grain."""
    VALUES: tl.constexpr = PLAN.values
    first, low, high = span
    inner, inner_end = _whole_tiles(rows.length, span, sizes, unit, PLAN)
    # Sums of few rows are kept column by column until the end: those across threads would cost more in each tile.
    BY_COLUMN: tl.constexpr = PLAN.block_m == 16
    state = Softmax(
        tiles.zero_parts(PLAN.block_m, VALUES),
        tl.full([PLAN.block_m, PLAN.block_n if BY_COLUMN else 1], 0, tl.float32),
        tl.full([PLAN.block_m], float("-inf"), tl.float32),
        tl.cast(LEAST, tl.int32),
    )
    before = inner - low
    table = tensors.table + tl.cast(unit.sequence, tl.int64) * table_stride
    for n in tl.range(0, before + high - inner_end, num_stages=1):
        tile = first + tl.where(n < before, low + n, inner_end + n - before)
        pages = tiles.pages_of(table, tile, unit.sequence, rows.length, PLAN)
        state = add_tile(state, rows, tensors, strides, pages, tile, PLAN, MASKED=True)
    # Pages are looked up a tile ahead, so that loads of the next one need not wait for them.
    pages = tiles.pages_of(table, first + inner, unit.sequence, rows.length, PLAN)
    for tile in tl.range(first + inner, first + inner_end, num_stages=PLAN.inner):
        ahead = tiles.pages_of(table, tile + 1, unit.sequence, rows.length, PLAN)
        state = add_tile(state, rows, tensors, strides, pages, tile, PLAN, MASKED=False)
        pages = ahead
    return state


@triton.jit
def _inverse(total: tl.tensor, grain: tl.tensor, scale: tl.tensor, VALUES: tl.constexpr) -> tl.tensor:
    """What sums of values [M, D] are multiplied by [M] in the end: one over the weights' sum, times their scale."""
    inverse = 1 / tl.where(total == 0, 1.0, total)
    if VALUES.scales == "tensor":
        inverse *= tl.load(scale)
    if VALUES.kind == INT4:
        inverse *= 2  # see `token_scales`
    elif VALUES.scales == "token":
        inverse *= power_of_two(tl.maximum(grain - GRAIN, LEAST))
    return inverse


@triton.jit
def _add_parts(tensors: tl.tuple, out_strides: tl.tuple, sizes: tl.tuple, unit: tl.tuple, PLAN: tl.constexpr) -> None:
    """The result of a sequence of which all parts are there, some rows at a time."""
    WIDTH: tl.constexpr = triton.next_power_of_2(PLAN.head_dim)
    AT_ONCE: tl.constexpr = max(1, min(PLAN.rows, 2048 // WIDTH))
    for start in tl.range(0, PLAN.rows, AT_ONCE, num_stages=1):
        row = start + tl.arange(0, AT_ONCE)
        rows = unit.m_tile * PLAN.block_m + row
        out_rows = _row_offsets(out_strides, rows, sizes, unit)
        real = rows < sizes.q_len * sizes.group
        parts = Parts(tensors.partial, tensors.lse, unit.first_part, unit.parts)
        add_up(parts, tensors.out, out_rows, row, real, PLAN.head_dim, PLAN.rows, max(1, 4096 // (AT_ONCE * WIDTH)))


@triton.jit
def _load_queries(
    q: tl.tensor,
    rows: tl.tensor,
    real: tl.tensor,
    k_scale: tl.tensor,
    head: tl.tensor,
    scale_log2: tl.tensor,
    PLAN: tl.constexpr,
) -> tl.tuple:
    """(queries in parts [M, BLOCK] of the dtype of the keys, what scores of each row are multiplied by [M]).

    Queries have the scale of their channel where keys have one for each, set once. In float16 a row is a power of two
    times what it was, so that its largest lies between 1 and 2.
    """
    KEYS: tl.constexpr = PLAN.keys
    largest = tl.full([rows.shape[0]], 0, tl.float32)
    PARTS: tl.constexpr = len(KEYS.blocks) * KEYS.planes
    DTYPE: tl.constexpr = KEYS.dtype
    raw = ()  # type: tl.tuple
    for PART in tl.static_range(PARTS):
        channel = tiles.part_channels(PART, KEYS)
        known = channel < PLAN.head_dim
        part = tl.load(q + rows[:, None] + channel[None, :], mask=real[:, None] & known[None, :], other=0.0)
        part = part.to(tl.float32)
        if KEYS.scales == "channel":
            part *= tl.load(k_scale + head * PLAN.head_dim + channel, mask=known, other=0.0)[None, :]
        largest = tl.maximum(largest, tl.max(tl.abs(part), 1))
        raw += (part,)
    log2 = tl.full([rows.shape[0]], 0, tl.float32) + scale_log2
    sign = 1.0
    if KEYS.scales == "tensor":
        scale = tl.load(k_scale)
        log2 *= tl.abs(scale)
        sign = tl.where(scale < 0, -1.0, 1.0)
    if KEYS.kind == INT4:
        log2 *= 2  # see `group_scales`
    exponent = tl.full([rows.shape[0]], 0, tl.int32)
    if KEYS.kind != SAME:
        exponent = exponent_of(largest)
        log2 *= power_of_two(exponent)
    parts = ()  # type: tl.tuple
    for PART in tl.static_range(PARTS):
        parts += (narrow(raw[PART] * (sign * power_of_two(-exponent))[:, None], DTYPE),)
    return parts, tl.where(log2 == 0, TINY, log2)


@triton.jit
def _store(out: tl.tensor, rows: tl.tensor, real: tl.tensor, parts: tl.tuple, PLAN: tl.constexpr) -> None:
    VALUES: tl.constexpr = PLAN.values
    for PART in tl.static_range(len(parts)):
        channel = tiles.part_channels(PART, VALUES)
        pointers = out + rows[:, None] + channel[None, :]
        mask = real[:, None] & (channel < PLAN.head_dim)[None, :]
        tl.store(pointers, narrow(parts[PART], out.dtype.element_ty), mask=mask)
