"""What the warps of the Gluon kernel of attention do: one loads, two groups of four consume.

Barriers: `full` when a buffer's tile has landed, `empty` when both consumers have read it for the last time. A ring of
STAGES buffers is filled in turn: the tile that is number `at` lies in buffer at % STAGES, in that barrier's phase
at // STAGES. Whoever waits for a phase gives its parity; a fresh barrier has passed the phase before its first.
"""

from dataclasses import dataclass

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier, tma, warpgroup_mma, warpgroup_mma_wait

from attnlab.kernels.triton.device import LN_2

ROWS = gl.constexpr(64)  # queries of a consumer


@dataclass(frozen=True)
class Plan:
    """What the kernel is compiled for."""

    causal: bool
    windowed: bool
    head_dim: int
    block_n: int  # keys of a tile
    stages: int  # tiles of keys, and of values, that shared memory holds

    @property
    def scores_layout(self) -> gl.NVMMADistributedLayout:
        return gl.NVMMADistributedLayout([3, 0], [4, 1], [16, self.block_n, 16])

    @property
    def out_layout(self) -> gl.NVMMADistributedLayout:
        return gl.NVMMADistributedLayout([3, 0], [4, 1], [16, self.head_dim, 16])


@gluon.jit
def load(q, k, v, q_ring, k_ring, v_ring, sizes, PLAN: gl.constexpr):
    """Queries of each tile, then its keys, from the last on; values come a tile behind the keys."""
    STAGES: gl.constexpr = PLAN.stages
    queries, q_full, q_empty = q_ring
    keys, k_full, k_empty = k_ring
    values, v_full, v_empty = v_ring
    q_heads, group, heads, section, q_len, kv_len, window = sizes
    tiles = gl.cdiv(q_len, 2 * ROWS)
    parity = 0  # of the barriers of queries
    at = 0  # tiles of keys, over all tiles of queries: stage at % STAGES, phase at // STAGES
    for index in range(gl.program_id(0), tiles * heads, gl.num_programs(0)):
        tile, head = _place(index, tiles, heads, section)
        first = tile * (2 * ROWS)
        batch = head // q_heads
        q_head = head % q_heads
        kv_head = q_head // group
        begin, end = _key_tiles(first, q_len, kv_len, window, PLAN)

        mbarrier.wait(q_empty.index(0), parity ^ 1)
        mbarrier.expect(q_full.index(0), 2 * q.block_type.nbytes)
        tma.async_copy_global_to_shared(q, [batch, q_head, first, 0], q_full.index(0), queries.index(0))
        tma.async_copy_global_to_shared(q, [batch, q_head, first + ROWS, 0], q_full.index(0), queries.index(1))
        parity ^= 1
        for key_tile in range(end - begin + 1):
            if key_tile < end - begin:
                stage = at % STAGES
                row = (end - 1 - key_tile) * PLAN.block_n
                mbarrier.wait(k_empty.index(stage), (at // STAGES & 1) ^ 1)
                mbarrier.expect(k_full.index(stage), k.block_type.nbytes)
                tma.async_copy_global_to_shared(k, [batch, kv_head, row, 0], k_full.index(stage), keys.index(stage))
            if key_tile > 0:
                stage = (at - 1) % STAGES
                row = (end - key_tile) * PLAN.block_n
                mbarrier.wait(v_empty.index(stage), ((at - 1) // STAGES & 1) ^ 1)
                mbarrier.expect(v_full.index(stage), v.block_type.nbytes)
                tma.async_copy_global_to_shared(v, [batch, kv_head, row, 0], v_full.index(stage), values.index(stage))
            at += 1
        at -= 1


@gluon.jit
def consume(out, lse, q_ring, k_ring, v_ring, turns, scale_log2, sizes, PLAN: gl.constexpr, CONSUMER: gl.constexpr):
    """ROWS queries of each tile; `at` counts tiles of keys as in `load`, and turns as well."""
    HEAD_DIM: gl.constexpr = PLAN.head_dim
    BLOCK_N: gl.constexpr = PLAN.block_n
    STAGES: gl.constexpr = PLAN.stages
    O_LAYOUT: gl.constexpr = PLAN.out_layout
    queries, q_full, q_empty = q_ring
    _, k_full, _ = k_ring
    values, v_full, v_empty = v_ring
    _, _, heads, section, q_len, kv_len, window = sizes
    tiles = gl.cdiv(q_len, 2 * ROWS)
    parity = 0
    at = 0
    for index in range(gl.program_id(0), tiles * heads, gl.num_programs(0)):
        tile, head = _place(index, tiles, heads, section)
        first = tile * (2 * ROWS)
        begin, end = _key_tiles(first, q_len, kv_len, window, PLAN)
        first += CONSUMER * ROWS
        low, high = _free_tiles(first, begin, end, q_len, kv_len, window, PLAN)
        span = begin, low, high

        query = queries.index(CONSUMER).reshape([ROWS, HEAD_DIM])
        mbarrier.wait(q_full.index(0), parity)
        parity ^= 1

        acc = gl.zeros([ROWS, HEAD_DIM], gl.float32, O_LAYOUT)
        weights, total, peak = _first_tile(query, k_ring, turns, scale_log2, at, end - 1, first, sizes, PLAN, CONSUMER)
        at += 1
        mbarrier.wait(k_full.index(at % STAGES), at // STAGES & 1, pred=end - begin > 1)

        for key_tile in range(end - 2, begin - 1, -1):
            state = acc, weights, total, peak
            acc, weights, total, peak = _step(
                state, query, k_ring, v_ring, turns, scale_log2, at, key_tile, span, first, sizes, PLAN, CONSUMER
            )
            at += 1
        mbarrier.arrive(q_empty.index(0), count=1)

        # The last tile's values.
        stage = (at - 1) % STAGES
        mbarrier.wait(v_full.index(stage), (at - 1) // STAGES & 1)
        value = values.index(stage).reshape([BLOCK_N, HEAD_DIM])
        acc = warpgroup_mma(weights, value, acc, is_async=True)
        acc, weights = warpgroup_mma_wait(0, deps=[acc, weights])
        mbarrier.arrive(v_empty.index(stage), count=1)

        _store(out, lse, acc, total, peak, head, first, q_len, PLAN)


@gluon.jit
def _first_tile(
    query, k_ring, turns, scale_log2, at, key_tile, first, sizes, PLAN: gl.constexpr, CONSUMER: gl.constexpr
):
    """Weights of the first tile of keys, before which there are no values; their sum, and the peak."""
    HEAD_DIM: gl.constexpr = PLAN.head_dim
    BLOCK_N: gl.constexpr = PLAN.block_n
    STAGES: gl.constexpr = PLAN.stages
    S_LAYOUT: gl.constexpr = PLAN.scores_layout
    O_LAYOUT: gl.constexpr = PLAN.out_layout
    keys, k_full, k_empty = k_ring
    total = gl.zeros([ROWS], gl.float32, gl.SliceLayout(1, S_LAYOUT))
    peak = gl.full([ROWS], float("-inf"), gl.float32, gl.SliceLayout(1, S_LAYOUT))
    stage = at % STAGES
    mbarrier.wait(k_full.index(stage), at // STAGES & 1)
    mbarrier.wait(turns.index(CONSUMER), (at & 1) ^ (1 - CONSUMER))
    key = keys.index(stage).reshape([BLOCK_N, HEAD_DIM]).permute((1, 0))
    zeros = gl.zeros([ROWS, BLOCK_N], gl.float32, S_LAYOUT)
    scores = warpgroup_mma(query, key, zeros, use_acc=False, is_async=True)
    mbarrier.arrive(turns.index(1 - CONSUMER), count=1)
    scores = warpgroup_mma_wait(0, deps=[scores])
    mbarrier.arrive(k_empty.index(stage), count=1)  # the product has read them
    scores = _mask(scores, first, key_tile, sizes, PLAN)
    weights, total, peak, _ = _softmax(scores, total, peak, scale_log2)
    return gl.convert_layout(weights.to(keys.dtype), gl.DotOperandLayout(0, O_LAYOUT, 2)), total, peak


@gluon.jit
def _step(
    state,
    query,
    k_ring,
    v_ring,
    turns,
    scale_log2,
    at,
    key_tile,
    span,
    first,
    sizes,
    PLAN: gl.constexpr,
    CONSUMER: gl.constexpr,
):
    """Scores and weights of tile `at` of keys, whose barrier was waited for, and the product of the one before."""
    HEAD_DIM: gl.constexpr = PLAN.head_dim
    BLOCK_N: gl.constexpr = PLAN.block_n
    STAGES: gl.constexpr = PLAN.stages
    S_LAYOUT: gl.constexpr = PLAN.scores_layout
    O_LAYOUT: gl.constexpr = PLAN.out_layout
    acc, weights, total, peak = state
    keys, k_full, k_empty = k_ring
    values, v_full, v_empty = v_ring
    begin, low, high = span
    stage = at % STAGES
    before = (at - 1) % STAGES
    key = keys.index(stage).reshape([BLOCK_N, HEAD_DIM]).permute((1, 0))
    value = values.index(before).reshape([BLOCK_N, HEAD_DIM])

    mbarrier.wait(turns.index(CONSUMER), (at & 1) ^ (1 - CONSUMER))
    zeros = gl.zeros([ROWS, BLOCK_N], gl.float32, S_LAYOUT)
    scores = warpgroup_mma(query, key, zeros, use_acc=False, is_async=True)
    mbarrier.wait(v_full.index(before), (at - 1) // STAGES & 1)
    acc = warpgroup_mma(weights, value, acc, is_async=True)
    mbarrier.arrive(turns.index(1 - CONSUMER), count=1)

    scores = warpgroup_mma_wait(1, deps=[scores])
    mbarrier.arrive(k_empty.index(stage), count=1)
    masked = key_tile * 0 != 0
    if PLAN.causal:
        masked = key_tile >= high
    if PLAN.windowed:
        masked = masked | (key_tile < low)
    if masked:
        scores = _mask(scores, first, key_tile, sizes, PLAN)
    after, total, peak, fade = _softmax(scores, total, peak, scale_log2)
    after = gl.convert_layout(after.to(keys.dtype), gl.DotOperandLayout(0, O_LAYOUT, 2))

    # Before the products' wait: the assembler would else put that wait before every exp2.
    mbarrier.wait(k_full.index((at + 1) % STAGES), (at + 1) // STAGES & 1, pred=key_tile > begin)
    acc, weights = warpgroup_mma_wait(0, deps=[acc, weights])
    mbarrier.arrive(v_empty.index(before), count=1)
    acc = acc * gl.convert_layout(fade, gl.SliceLayout(1, O_LAYOUT))[:, None]
    return acc, after, total, peak


@gluon.jit
def _softmax(scores, total, peak, scale_log2):
    """Weights of a tile's scores [ROWS, N] beside the peak so far; their sum with `total`, the peak, and what fades."""
    new_peak = gl.maximum(peak, gl.max(scores, 1) * scale_log2)
    anchor = gl.where(new_peak == float("-inf"), 0.0, new_peak)  # -inf less -inf would be NaN
    weights = gl.exp2(scores * scale_log2 - anchor[:, None])
    fade = gl.exp2(peak - anchor)
    return weights, total * fade + gl.sum(weights, 1), new_peak, fade


@gluon.jit
def _mask(scores, first, key_tile, sizes, PLAN: gl.constexpr):
    """-inf where a query may not see a key; the diagonal is aligned bottom-right."""
    S_LAYOUT: gl.constexpr = PLAN.scores_layout
    _, _, _, _, q_len, kv_len, window = sizes
    rows = first + gl.arange(0, ROWS, gl.SliceLayout(1, S_LAYOUT))[:, None] + (kv_len - q_len)
    columns = key_tile * PLAN.block_n + gl.arange(0, PLAN.block_n, gl.SliceLayout(0, S_LAYOUT))[None, :]
    allowed = columns < kv_len
    if PLAN.causal:
        allowed = allowed & (columns <= rows)
    if PLAN.windowed:
        allowed = allowed & (columns > rows - window)
    return gl.where(allowed, scores, float("-inf"))


@gluon.jit
def _store(out, lse, acc, total, peak, head, first, q_len, PLAN: gl.constexpr):
    """A consumer's rows of out and lse; 0 and -inf for those without a permitted key."""
    S_LAYOUT: gl.constexpr = PLAN.scores_layout
    O_LAYOUT: gl.constexpr = PLAN.out_layout
    HEAD_DIM: gl.constexpr = PLAN.head_dim
    start = gl.cast(head, gl.int64) * q_len + first
    blind = total == 0
    total = gl.where(blind, 1.0, total)
    rows = gl.arange(0, ROWS, gl.SliceLayout(1, S_LAYOUT))
    gl.store(lse + start + rows, gl.where(blind, float("-inf"), (peak + gl.log2(total)) * LN_2), rows < q_len - first)

    factor = gl.convert_layout(1 / total, gl.SliceLayout(1, O_LAYOUT))[:, None]
    blind = gl.convert_layout(blind, gl.SliceLayout(1, O_LAYOUT))[:, None]
    rows = gl.arange(0, ROWS, gl.SliceLayout(1, O_LAYOUT))[:, None]
    columns = gl.arange(0, HEAD_DIM, gl.SliceLayout(0, O_LAYOUT))[None, :]
    acc = gl.where(blind, 0.0, acc * factor).to(out.dtype.element_ty)
    gl.store(out + start * HEAD_DIM + (rows * HEAD_DIM + columns), acc, (rows < q_len - first) & (columns < HEAD_DIM))


@gluon.jit
def _place(index, tiles, heads, section):
    """(tile, head) of a place in the order of work: by sections of heads, in each the last tiles of all heads first."""
    n = index // (section * tiles)
    rest = index % (section * tiles)
    width = gl.minimum(section, heads - n * section)
    return tiles - 1 - rest // width, n * section + rest % width


@gluon.jit
def _key_tiles(first, q_len, kv_len, window, PLAN: gl.constexpr):
    """Tiles [begin, end) of keys that some query of a tile may see; one that none may see where there is no other."""
    BLOCK_N: gl.constexpr = PLAN.block_n
    begin = first * 0
    end = gl.cdiv(kv_len, BLOCK_N)
    shift = kv_len - q_len
    if PLAN.causal:
        end = gl.minimum(end, gl.cdiv(gl.maximum(gl.minimum(first + 2 * ROWS, q_len) + shift, 0), BLOCK_N))
    if PLAN.windowed:
        begin = gl.maximum(first + shift - window + 1, 0) // BLOCK_N
    return begin, gl.maximum(end, begin + 1)


@gluon.jit
def _free_tiles(first, begin, end, q_len, kv_len, window, PLAN: gl.constexpr):
    """Tiles [low, high) of keys that a consumer's queries see whole, in [begin, end)."""
    BLOCK_N: gl.constexpr = PLAN.block_n
    low = begin
    high = end
    shift = kv_len - q_len
    if PLAN.causal:
        high = gl.maximum(gl.minimum(high, gl.maximum(first + shift + 1, 0) // BLOCK_N), begin)
    if PLAN.windowed:
        low = gl.minimum(gl.cdiv(gl.maximum(first + ROWS + shift - window, 0), BLOCK_N), high)
    return low, high
