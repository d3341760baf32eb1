"""The kernels of attention backward: delta, the gradients of keys and values, and that of queries.

Probabilities are computed again from lse. `inputs` are dout, q, k, v and lse, `strides` theirs of batch, head and row;
delta has those of lse. What is the same in both large kernels comes first, then what each writes.
"""

import triton
import triton.language as tl

from attnlab.kernels.triton import attention_ranges as ranges
from attnlab.kernels.triton import attention_scores as softmax
from attnlab.kernels.triton import attention_tiles as tiles
from attnlab.kernels.triton.attention_places import place, this_tile
from attnlab.kernels.triton.attention_seen import attention_mask
from attnlab.kernels.triton.device import LOG2_E


@triton.jit(do_not_specialize=["q_heads", "q_len"])
def delta_kernel(
    dout: tl.tensor,
    out: tl.tensor,
    delta: tl.tensor,
    dout_strides: tl.tuple,
    out_strides: tl.tuple,
    delta_strides: tl.tuple,
    q_heads: tl.tensor,
    q_len: tl.tensor,
    V_HEAD: tl.constexpr,
    ROWS: tl.constexpr,
) -> None:
    """delta [B, Hq, Sq], float32: the sum of out · dout over each row."""
    tile, head, batch = place(None, 1, q_len, q_heads, ROWS, PACKED=False, LAST_FIRST=False)
    first = tile * ROWS
    dout_head = tiles.head_pointer(dout, dout_strides, batch, head, PACKED=False)
    out_head = tiles.head_pointer(out, out_strides, batch, head, PACKED=False)
    delta_head = tiles.head_pointer(delta, delta_strides, batch, head, PACKED=False)
    douts = tiles.load_rows(dout_head, dout_strides, first, q_len, ROWS, V_HEAD, RAGGED=True)
    outs = tiles.load_rows(out_head, out_strides, first, q_len, ROWS, V_HEAD, RAGGED=True)
    rows = first + tl.arange(0, ROWS)
    tl.store(delta_head + rows, tl.sum(douts[0].to(tl.float32) * outs[0].to(tl.float32), 1), mask=rows < q_len)


@triton.jit(do_not_specialize=["group", "q_len", "kv_len", "size", "sequences", "kv_heads"])
def dkdv_kernel(
    inputs: tl.tuple,
    delta: tl.tensor,
    packs: tl.tuple,
    strides: tl.tuple,
    extras: tl.tuple,
    scale: tl.tensor,
    group: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    size: tl.tensor,
    sequences: tl.tensor,
    kv_heads: tl.tensor,
    dk: tl.tensor,
    dv: tl.tensor,
    dk_strides: tl.tuple,
    dv_strides: tl.tuple,
    PLAN: tl.constexpr,
) -> None:
    """dk and dv of a tile of keys, over the query heads of its group and all queries that may see it."""
    HEAD: tl.constexpr = PLAN.head
    V_HEAD: tl.constexpr = PLAN.v_head
    PRECISION: tl.constexpr = PLAN.precision
    SHAPING: tl.constexpr = PLAN.shaping
    first, kv_head, start, key_start, q_len, kv_len = this_tile(
        packs, sequences, q_len, kv_len, kv_heads, OF_KEYS=True, PLAN=PLAN
    )
    if first >= kv_len:
        return

    k_head = tiles.head_pointer(inputs.k, strides.k, key_start, kv_head, PLAN.packed)
    v_head = tiles.head_pointer(inputs.v, strides.v, key_start, kv_head, PLAN.packed)
    keys = tiles.load_rows(k_head, strides.k, first, kv_len, PLAN.block_n, HEAD, RAGGED=True)  # [N, D]
    values = tiles.load_rows(v_head, strides.v, first, kv_len, PLAN.block_n, V_HEAD, RAGGED=True)  # [N, Dv]
    columns = first + tl.arange(0, PLAN.block_n)

    span = ranges.queries_of_keys(first, q_len, kv_len, size, extras.table, PLAN)
    dk_acc = tiles.zero_rows(PLAN.block_n, HEAD)
    dv_acc = tiles.zero_rows(PLAN.block_n, V_HEAD)
    for MASKED in tl.static_range(2):
        # One loop over the group's heads and their tiles: a nest of two needs more registers, and drains between heads.
        count = ranges.tile_count(span, PLAN.block_m, MASKED)
        for index in tl.range(0, group * count):
            head = kv_head * group + index // count
            query = ranges.tile_first(index % count, span, PLAN.block_m, MASKED)
            q_head = tiles.head_pointer(inputs.q, strides.q, start, head, PLAN.packed)
            dout_head = tiles.head_pointer(inputs.dout, strides.dout, start, head, PLAN.packed)
            queries = tiles.load_rows(q_head, strides.q, query, q_len, PLAN.block_m, HEAD, RAGGED=MASKED)  # [M, D]
            lse, drift = _load_statistics(
                inputs.lse, delta, strides.lse, start, head, query, q_len, PLAN.packed, PLAN.block_m, RAGGED=MASKED
            )  # [M], [M]
            rows = query + tl.arange(0, PLAN.block_m)
            scores, slope = softmax.shaped(
                tiles.dot_rows(keys, queries, PRECISION),
                scale * LOG2_E,
                extras,
                softmax.bias_of(extras, head, SHAPING),
                rows[None, :],
                columns[:, None],
                q_len,
                kv_len,
                SHAPING,
            )  # [N, M], [N, M]
            weights = tl.exp2(scores - lse[None, :])
            if MASKED:
                allowed = attention_mask(rows[None, :], columns[:, None], q_len, kv_len, size, extras.table, PLAN)
                weights = tl.where(allowed, weights, 0.0)
            douts = tiles.load_rows(dout_head, strides.dout, query, q_len, PLAN.block_m, V_HEAD, RAGGED=MASKED)
            dv_acc = tiles.add_product(dv_acc, weights, douts, PRECISION)
            dscores = weights * (tiles.dot_rows(values, douts, PRECISION) - drift[None, :])  # [N, M]
            if SHAPING.capped:
                dscores *= slope
            dk_acc = tiles.add_product(dk_acc, dscores, queries, PRECISION)

    dk_head = tiles.head_pointer(dk, dk_strides, key_start, kv_head, PLAN.packed)
    dv_head = tiles.head_pointer(dv, dv_strides, key_start, kv_head, PLAN.packed)
    tiles.store_rows(dk_head, dk_strides, first, kv_len, tiles.scale_rows(dk_acc, scale), PLAN.block_n, HEAD)
    tiles.store_rows(dv_head, dv_strides, first, kv_len, dv_acc, PLAN.block_n, V_HEAD)


@triton.jit(do_not_specialize=["group", "q_len", "kv_len", "size", "sequences", "q_heads"])
def dq_kernel(
    inputs: tl.tuple,
    delta: tl.tensor,
    packs: tl.tuple,
    strides: tl.tuple,
    extras: tl.tuple,
    scale: tl.tensor,
    group: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    size: tl.tensor,
    sequences: tl.tensor,
    q_heads: tl.tensor,
    dq: tl.tensor,
    dq_strides: tl.tuple,
    PLAN: tl.constexpr,
) -> None:
    """dq of a tile of queries of one head, over all keys that they may see."""
    HEAD: tl.constexpr = PLAN.head
    V_HEAD: tl.constexpr = PLAN.v_head
    PRECISION: tl.constexpr = PLAN.precision
    SHAPING: tl.constexpr = PLAN.shaping
    first, head, start, key_start, q_len, kv_len = this_tile(
        packs, sequences, q_len, kv_len, q_heads, OF_KEYS=False, PLAN=PLAN
    )
    if first >= q_len:
        return

    k_head = tiles.head_pointer(inputs.k, strides.k, key_start, head // group, PLAN.packed)
    v_head = tiles.head_pointer(inputs.v, strides.v, key_start, head // group, PLAN.packed)
    q_head = tiles.head_pointer(inputs.q, strides.q, start, head, PLAN.packed)
    dout_head = tiles.head_pointer(inputs.dout, strides.dout, start, head, PLAN.packed)
    queries = tiles.load_rows(q_head, strides.q, first, q_len, PLAN.block_m, HEAD, RAGGED=True)  # [M, D]
    douts = tiles.load_rows(dout_head, strides.dout, first, q_len, PLAN.block_m, V_HEAD, RAGGED=True)  # [M, Dv]
    rows = first + tl.arange(0, PLAN.block_m)
    lse, drift = _load_statistics(
        inputs.lse, delta, strides.lse, start, head, first, q_len, PLAN.packed, PLAN.block_m, RAGGED=True
    )  # [M], [M]

    bias = softmax.bias_of(extras, head, SHAPING)
    span = ranges.keys_of_queries(first, q_len, kv_len, size, extras.table, PLAN)
    acc = tiles.zero_rows(PLAN.block_m, HEAD)
    for MASKED in tl.static_range(2):
        for index in tl.range(0, ranges.tile_count(span, PLAN.block_n, MASKED)):
            key = ranges.tile_first(index, span, PLAN.block_n, MASKED)
            keys = tiles.load_rows(k_head, strides.k, key, kv_len, PLAN.block_n, HEAD, RAGGED=MASKED)  # [N, D]
            columns = key + tl.arange(0, PLAN.block_n)
            scores, slope = softmax.shaped(
                tiles.dot_rows(queries, keys, PRECISION),
                scale * LOG2_E,
                extras,
                bias,
                rows[:, None],
                columns[None, :],
                q_len,
                kv_len,
                SHAPING,
            )  # [M, N], [M, N]
            weights = tl.exp2(scores - lse[:, None])
            if MASKED:
                allowed = attention_mask(rows[:, None], columns[None, :], q_len, kv_len, size, extras.table, PLAN)
                weights = tl.where(allowed, weights, 0.0)
            values = tiles.load_rows(v_head, strides.v, key, kv_len, PLAN.block_n, V_HEAD, RAGGED=MASKED)  # [N, Dv]
            dscores = weights * (tiles.dot_rows(douts, values, PRECISION) - drift[:, None])  # [M, N]
            if SHAPING.capped:
                dscores *= slope
            acc = tiles.add_product(acc, dscores, keys, PRECISION)
    dq_head = tiles.head_pointer(dq, dq_strides, start, head, PLAN.packed)
    tiles.store_rows(dq_head, dq_strides, first, q_len, tiles.scale_rows(acc, scale), PLAN.block_m, HEAD)


@triton.jit
def _load_statistics(
    lse: tl.tensor,
    delta: tl.tensor,
    strides: tl.tuple,
    start: tl.tensor,
    head: tl.tensor,
    first: tl.tensor,
    q_len: tl.tensor,
    PACKED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    RAGGED: tl.constexpr,
) -> tl.tuple:
    """(lse in base 2 [M], delta [M]) of a tile of queries; those past q_len get an lse that makes every weight zero."""
    lse_head = tiles.head_pointer(lse, strides, start, head, PACKED)
    delta_head = tiles.head_pointer(delta, strides, start, head, PACKED)
    rows = first + tl.arange(0, BLOCK_M)
    if RAGGED:
        peak = tl.load(lse_head + rows, mask=rows < q_len, other=float("inf"))
        return peak * LOG2_E, tl.load(delta_head + rows, mask=rows < q_len, other=0.0)
    else:
        return tl.load(lse_head + rows) * LOG2_E, tl.load(delta_head + rows)
