"""Attention backward in Triton: gradients of q, k and v, with the probabilities computed again from lse.

Technique: FlashAttention-2 (Dao, 2023, arXiv:2307.08691), deterministic: one kernel owns a tile of keys and sums dk
and dv over queries and the query heads of its group, another owns a tile of queries and sums dq over keys.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import (
    LOG2_E,
    Tiling,
    architecture,
    check,
    check_like,
    is_exact,
    padded,
    reach,
)
from attnlab.kernels.triton.attention_tiles import (
    add_product,
    dot_rows,
    head_pointer,
    lengths,
    load_rows,
    permitted,
    place,
    scale_rows,
    spans,
    store_rows,
    tile_count,
    tile_first,
    zero_rows,
)

DELTA_ELEMENTS = 8192  # of a tile of out
_LOG2_E = tl.constexpr(LOG2_E)


@dataclass(frozen=True)
class BackwardTiling:
    """The tilings of the two large kernels."""

    dkdv: Tiling
    dq: Tiling


def configuration(head_dim: int, v_head_dim: int, dtype: torch.dtype, sm: int) -> BackwardTiling:
    """The shipped tilings for a pair of head sizes on a compute capability (times ten).

    What was compiled of it and what spills stands in docs/kernels.md. For a head size of 128 on sm_90, dk and dv spill:
    they and dq are each 10 % faster on an H100 (4096 tokens, 16 heads, bfloat16, causal) than tiles that spill nothing
    or fewer tiles in flight. The others are chosen for size, not yet by measured speed.
    """
    widest = max(head_dim, v_head_dim)
    if dtype == torch.float32:
        if widest <= 64:
            return BackwardTiling(dkdv=Tiling(32, 32, 8, 1), dq=Tiling(32, 32, 8, 1))
        return BackwardTiling(
            dkdv=Tiling(32, 32, 16, 1) if widest <= 128 else Tiling(16, 16, 8, 1), dq=Tiling(16, 16, 8, 1)
        )
    if widest > 128:
        tiling = Tiling(32, 32, num_warps=8, num_stages=1, all_registers=True)
        return BackwardTiling(dkdv=tiling, dq=tiling)
    if not is_exact(head_dim, v_head_dim):
        return BackwardTiling(dkdv=Tiling(32, 32, 8, 2), dq=Tiling(32, 32, 8, 2))
    if widest <= 64:
        return BackwardTiling(dkdv=Tiling(64, 128, 8, 2), dq=Tiling(64, 64, 4, 2))
    if 100 <= sm < 120:
        return BackwardTiling(dkdv=Tiling(64, 128, 8, 2), dq=Tiling(128, 64, 8, 2))
    if 90 <= sm < 100 and widest == 128:
        return BackwardTiling(dkdv=Tiling(64, 128, 8, 2), dq=Tiling(128, 64, 8, 3))
    if 90 <= sm < 100:
        return BackwardTiling(dkdv=Tiling(32, 128, 8, 2), dq=Tiling(128, 64, 8, 2))
    return BackwardTiling(dkdv=Tiling(64, 64, 8, 2), dq=Tiling(64, 64, 8, 2))


def attention_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    *,
    scale: float,
    causal: bool = False,
    window: int | None = None,
    cu_seqlens: Tensor | None = None,
    max_seqlen: int | None = None,
    tiling: BackwardTiling | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients (dq, dk, dv) of `attention_forward` for the gradient dout of its output.

    q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv], dout and out [B, Hq, Sq, Dv] in one dtype, lse
    [B, Hq, Sq] float32; out and lse, and the other arguments, as `attention_forward` had and gave them. Any strides
    but in the last axis; lse dense. Sums are in float32, in an order that does not change between runs.

    Returns gradients of the shapes and dtype of q, k and v. Raises ValueError on arguments that do not fit, before
    any launch.
    """
    sizes = check(q, k, v, scale=scale, causal=causal, window=window, cu_seqlens=cu_seqlens, max_seqlen=max_seqlen)
    out_shape = (*q.shape[:3], sizes.v_head_dim)
    check_like("dout", dout, out_shape, q.dtype, q)
    check_like("out", out, out_shape, q.dtype, q)
    check_like("lse", lse, tuple(q.shape[:3]), torch.float32, q, dense=True)
    dq, dk, dv = (torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in (q, k, v))
    delta = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    if q.numel() == 0 or k.numel() == 0:
        return dq.zero_(), dk.zero_(), dv.zero_()

    # Parts of 128 and 16 are too many registers, and of 128 and 32 where there are two accumulators.
    widest = max(sizes.head_dim, sizes.v_head_dim)
    dkdv_widths, dq_widths = sizes.widths(whole=128 < widest < 192), sizes.widths(whole=128 < widest < 160)
    flags = {"CAUSAL": causal, "WINDOWED": window is not None, "PACKED": cu_seqlens is not None}
    inputs = (
        dout, q, k, v, lse, delta, cu_seqlens,
        dout.stride()[:3], q.stride()[:3], k.stride()[:3], v.stride()[:3], lse.stride()[:3],
        scale, sizes.group, sizes.q_len, sizes.kv_len, reach(window, sizes.kv_len),
    )  # fmt: skip
    with torch.cuda.device_of(q):
        tiling = tiling or configuration(sizes.head_dim, sizes.v_head_dim, q.dtype, architecture())
        rows = min(64, DELTA_ELEMENTS // padded(sizes.v_head_dim))
        _delta[(triton.cdiv(sizes.q_len, rows) * q.shape[0] * sizes.q_heads,)](
            dout, out, delta, dout.stride()[:3], out.stride()[:3], delta.stride(), sizes.q_heads, sizes.q_len,
            V_HEAD_DIM=sizes.v_head_dim, BLOCKS_DV=(padded(sizes.v_head_dim),), ROWS=rows,
        )  # fmt: skip
        _dkdv[(sizes.programs(sizes.kv_len, sizes.kv_heads, tiling.dkdv.block_n),)](
            *inputs, dk, dv, dk.stride()[:3], dv.stride()[:3], sizes.sequences, sizes.kv_heads,
            **flags, **dkdv_widths, **tiling.dkdv.meta,
        )  # fmt: skip
        _dq[(sizes.programs(sizes.q_len, sizes.q_heads, tiling.dq.block_m),)](
            *inputs, dq, dq.stride()[:3], sizes.sequences, sizes.q_heads,
            **flags, **dq_widths, **tiling.dq.meta,
        )  # fmt: skip
    return dq, dk, dv


@triton.jit(do_not_specialize=["q_heads", "q_len"])
def _delta(
    dout: tl.tensor, out: tl.tensor, delta: tl.tensor,
    dout_strides: tl.tuple, out_strides: tl.tuple, delta_strides: tl.tuple, q_heads: tl.tensor, q_len: tl.tensor,
    V_HEAD_DIM: tl.constexpr, BLOCKS_DV: tl.constexpr, ROWS: tl.constexpr,
) -> None:  # fmt: skip
    """delta [B, Hq, Sq], float32: the sum of out · dout over each row."""
    tile, head, batch = place(None, 1, q_len, q_heads, ROWS, PACKED=False, LAST_FIRST=False)
    first = tile * ROWS
    dout = head_pointer(dout, dout_strides, batch, head, PACKED=False)
    out = head_pointer(out, out_strides, batch, head, PACKED=False)
    delta = head_pointer(delta, delta_strides, batch, head, PACKED=False)
    douts = load_rows(dout, dout_strides, first, q_len, ROWS, V_HEAD_DIM, BLOCKS_DV, RAGGED=True)
    outs = load_rows(out, out_strides, first, q_len, ROWS, V_HEAD_DIM, BLOCKS_DV, RAGGED=True)
    rows = first + tl.arange(0, ROWS)
    tl.store(delta + rows, tl.sum(douts[0].to(tl.float32) * outs[0].to(tl.float32), 1), mask=rows < q_len)


@triton.jit(do_not_specialize=["group", "q_len", "kv_len", "window", "sequences", "kv_heads"])
def _dkdv(
    dout: tl.tensor, q: tl.tensor, k: tl.tensor, v: tl.tensor, lse: tl.tensor, delta: tl.tensor,
    cu_seqlens: tl.tensor, dout_strides: tl.tuple, q_strides: tl.tuple, k_strides: tl.tuple, v_strides: tl.tuple,
    lse_strides: tl.tuple, scale: tl.tensor, group: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, window: tl.tensor,
    dk: tl.tensor, dv: tl.tensor, dk_strides: tl.tuple, dv_strides: tl.tuple, sequences: tl.tensor, kv_heads: tl.tensor,
    CAUSAL: tl.constexpr, WINDOWED: tl.constexpr, PACKED: tl.constexpr,
    HEAD_DIM: tl.constexpr, V_HEAD_DIM: tl.constexpr, BLOCKS_D: tl.constexpr, BLOCKS_DV: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    tile, kv_head, sequence = place(cu_seqlens, sequences, kv_len, kv_heads, BLOCK_N, PACKED, LAST_FIRST=False)
    start, q_len, kv_len = lengths(cu_seqlens, sequence, q_len, kv_len, PACKED)
    first = tile * BLOCK_N
    if first >= kv_len:
        return

    k = head_pointer(k, k_strides, start, kv_head, PACKED)
    v = head_pointer(v, v_strides, start, kv_head, PACKED)
    keys = load_rows(k, k_strides, first, kv_len, BLOCK_N, HEAD_DIM, BLOCKS_D, RAGGED=True)  # [N, D]
    values = load_rows(v, v_strides, first, kv_len, BLOCK_N, V_HEAD_DIM, BLOCKS_DV, RAGGED=True)  # [N, Dv]
    columns = first + tl.arange(0, BLOCK_N)

    shift = kv_len - q_len
    last = tl.minimum(first + BLOCK_N, kv_len) - 1
    span = spans(first, last, -shift, window - shift, q_len, BLOCK_M, HAS_LOW=CAUSAL, HAS_HIGH=WINDOWED)
    dk_acc = zero_rows(BLOCK_N, BLOCKS_D)
    dv_acc = zero_rows(BLOCK_N, BLOCKS_DV)
    for MASKED in tl.static_range(2):
        # One loop over the group's heads and their tiles: a nest of two needs more registers, and drains between heads.
        count = tile_count(span, BLOCK_M, MASKED)
        for index in tl.range(0, group * count):
            head = kv_head * group + index // count
            query = tile_first(index % count, span, BLOCK_M, MASKED)
            q_head = head_pointer(q, q_strides, start, head, PACKED)
            dout_head = head_pointer(dout, dout_strides, start, head, PACKED)
            queries = load_rows(q_head, q_strides, query, q_len, BLOCK_M, HEAD_DIM, BLOCKS_D, RAGGED=MASKED)  # [M, D]
            lse_head = head_pointer(lse, lse_strides, start, head, PACKED)
            delta_head = head_pointer(delta, lse_strides, start, head, PACKED)
            rows = query + tl.arange(0, BLOCK_M)
            peak, drift = load_statistics(lse_head, delta_head, rows, q_len, MASKED)  # [M], [M]
            scores = dot_rows(keys, queries, PRECISION)  # [N, M]
            weights = tl.exp2(scores * (scale * _LOG2_E) - peak[None, :])
            if MASKED:
                allowed = permitted(rows[None, :], columns[:, None], kv_len, shift, window, CAUSAL, WINDOWED)
                weights = tl.where(allowed, weights, 0.0)
            douts = load_rows(
                dout_head, dout_strides, query, q_len, BLOCK_M, V_HEAD_DIM, BLOCKS_DV, RAGGED=MASKED
            )  # [M, Dv]
            dv_acc = add_product(dv_acc, weights, douts, PRECISION)
            dscores = weights * (dot_rows(values, douts, PRECISION) - drift[None, :])  # [N, M]
            dk_acc = add_product(dk_acc, dscores, queries, PRECISION)

    dk = head_pointer(dk, dk_strides, start, kv_head, PACKED)
    dv = head_pointer(dv, dv_strides, start, kv_head, PACKED)
    store_rows(dk, dk_strides, first, kv_len, scale_rows(dk_acc, scale), BLOCK_N, HEAD_DIM, BLOCKS_D)
    store_rows(dv, dv_strides, first, kv_len, dv_acc, BLOCK_N, V_HEAD_DIM, BLOCKS_DV)


@triton.jit(do_not_specialize=["group", "q_len", "kv_len", "window", "sequences", "q_heads"])
def _dq(
    dout: tl.tensor, q: tl.tensor, k: tl.tensor, v: tl.tensor, lse: tl.tensor, delta: tl.tensor,
    cu_seqlens: tl.tensor, dout_strides: tl.tuple, q_strides: tl.tuple, k_strides: tl.tuple, v_strides: tl.tuple,
    lse_strides: tl.tuple, scale: tl.tensor, group: tl.tensor, q_len: tl.tensor, kv_len: tl.tensor, window: tl.tensor,
    dq: tl.tensor, dq_strides: tl.tuple, sequences: tl.tensor, q_heads: tl.tensor,
    CAUSAL: tl.constexpr, WINDOWED: tl.constexpr, PACKED: tl.constexpr,
    HEAD_DIM: tl.constexpr, V_HEAD_DIM: tl.constexpr, BLOCKS_D: tl.constexpr, BLOCKS_DV: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    # The causal tiles with most keys start first.
    tile, head, sequence = place(cu_seqlens, sequences, q_len, q_heads, BLOCK_M, PACKED, LAST_FIRST=CAUSAL)
    start, q_len, kv_len = lengths(cu_seqlens, sequence, q_len, kv_len, PACKED)
    first = tile * BLOCK_M
    if first >= q_len:
        return

    q = head_pointer(q, q_strides, start, head, PACKED)
    dout = head_pointer(dout, dout_strides, start, head, PACKED)
    lse = head_pointer(lse, lse_strides, start, head, PACKED)
    delta = head_pointer(delta, lse_strides, start, head, PACKED)
    k = head_pointer(k, k_strides, start, head // group, PACKED)
    v = head_pointer(v, v_strides, start, head // group, PACKED)
    queries = load_rows(q, q_strides, first, q_len, BLOCK_M, HEAD_DIM, BLOCKS_D, RAGGED=True)  # [M, D]
    douts = load_rows(dout, dout_strides, first, q_len, BLOCK_M, V_HEAD_DIM, BLOCKS_DV, RAGGED=True)  # [M, Dv]
    rows = first + tl.arange(0, BLOCK_M)
    peak, drift = load_statistics(lse, delta, rows, q_len, RAGGED=True)  # [M], [M]

    shift = kv_len - q_len
    last = tl.minimum(first + BLOCK_M, q_len) - 1
    span = spans(first, last, shift - window + 1, shift + 1, kv_len, BLOCK_N, HAS_LOW=WINDOWED, HAS_HIGH=CAUSAL)
    acc = zero_rows(BLOCK_M, BLOCKS_D)
    for MASKED in tl.static_range(2):
        for index in tl.range(0, tile_count(span, BLOCK_N, MASKED)):
            key = tile_first(index, span, BLOCK_N, MASKED)
            keys = load_rows(k, k_strides, key, kv_len, BLOCK_N, HEAD_DIM, BLOCKS_D, RAGGED=MASKED)  # [N, D]
            scores = dot_rows(queries, keys, PRECISION)  # [M, N]
            weights = tl.exp2(scores * (scale * _LOG2_E) - peak[:, None])
            if MASKED:
                columns = key + tl.arange(0, BLOCK_N)
                allowed = permitted(rows[:, None], columns[None, :], kv_len, shift, window, CAUSAL, WINDOWED)
                weights = tl.where(allowed, weights, 0.0)
            values = load_rows(v, v_strides, key, kv_len, BLOCK_N, V_HEAD_DIM, BLOCKS_DV, RAGGED=MASKED)  # [N, Dv]
            dscores = weights * (dot_rows(douts, values, PRECISION) - drift[:, None])
            acc = add_product(acc, dscores, keys, PRECISION)
    dq = head_pointer(dq, dq_strides, start, head, PACKED)
    store_rows(dq, dq_strides, first, q_len, scale_rows(acc, scale), BLOCK_M, HEAD_DIM, BLOCKS_D)


@triton.jit
def load_statistics(
    lse: tl.tensor, delta: tl.tensor, rows: tl.tensor, q_len: tl.tensor, RAGGED: tl.constexpr
) -> tl.tuple:
    """lse in base 2 and delta of some rows; those past q_len get an lse that makes every weight zero."""
    if RAGGED:
        peak = tl.load(lse + rows, mask=rows < q_len, other=float("inf"))
        return peak * _LOG2_E, tl.load(delta + rows, mask=rows < q_len, other=0.0)
    else:
        return tl.load(lse + rows) * _LOG2_E, tl.load(delta + rows)
