"""Attention backward in Triton: gradients of q, k and v, with the probabilities computed again from lse.

Technique: FlashAttention-2 (Dao, 2023, arXiv:2307.08691), deterministic: one kernel owns a tile of keys and sums dk
and dv over queries and the query heads of its group, another owns a tile of queries and sums dq over keys.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import Sizes, Tiling, check, check_like, gathers, strides
from attnlab.kernels.triton.attention_gradients import delta_kernel, dkdv_kernel, dq_kernel
from attnlab.kernels.triton.attention_masks import Mask, chosen
from attnlab.kernels.triton.attention_scoring import PLAIN, Scoring, extras, shaping
from attnlab.kernels.triton.device import architecture
from attnlab.kernels.triton.head_widths import Width, in_one_part, in_parts, is_exact, padded_width
from attnlab.kernels.triton.launch_checks import check_contiguous

DELTA_ELEMENTS = 8192  # of a tile of out


@dataclass(frozen=True)
class BackwardTiling:
    """The tilings of the two large kernels."""

    dkdv: Tiling
    dq: Tiling


def configuration(head_dim: int, v_head_dim: int, dtype: torch.dtype, sm: int, shaped: bool = False) -> BackwardTiling:
    """The shipped tilings for a pair of head sizes on a compute capability (times ten).

    shaped: whether scores have a cap or a bias, or a tree's mask; tiles are then smaller, for registers of their own.

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
    if shaped and widest <= 128:
        return BackwardTiling(dkdv=Tiling(32, 64, 8, 2), dq=Tiling(64, 64, 8, 2))
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
    mask: Mask | None = None,
    scoring: Scoring = PLAIN,
    cu_seqlens: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    max_seqlen: int | None = None,
    tiling: BackwardTiling | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients (dq, dk, dv) of `attention_forward` for the gradient dout of its output.

    q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv], dout and out [B, Hq, Sq, Dv] in one dtype, lse
    [B, Hq, Sq] float32; out and lse, and the other arguments, as `attention_forward` had and gave them. Any strides
    but in the last axis; lse dense. Sums are in float32, in an order that does not change between runs.

    Sinks count by lse alone; neither they nor biases have a gradient. Returns gradients of the shapes and dtype of q, k
    and v. Raises ValueError on arguments that do not fit, before any launch.
    """
    mask = chosen(causal, window, mask)
    sizes = check(
        q,
        k,
        v,
        scale=scale,
        mask=mask,
        scoring=scoring,
        cu_seqlens=cu_seqlens,
        cu_seqlens_k=cu_seqlens_k,
        max_seqlen=max_seqlen,
    )
    out_shape = (*q.shape[:3], sizes.v_head_dim)
    check_like("dout", dout, out_shape, q.dtype, q)
    check_like("out", out, out_shape, q.dtype, q)
    check_like("lse", lse, tuple(q.shape[:3]), torch.float32, q)
    check_contiguous("lse", lse)
    dq, dk, dv = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
    if q.numel() == 0 or k.numel() == 0:
        return dq.zero_(), dk.zero_(), dv.zero_()
    with torch.cuda.device_of(q):
        shaped = not shaping(scoring).plain or gathers(mask, scoring)
        tiling = tiling or configuration(sizes.head_dim, sizes.v_head_dim, q.dtype, architecture(), shaped)
        delta = _launch_delta(dout, out, sizes)
        inputs = dout, q, k, v, lse
        packed = cu_seqlens, cu_seqlens_k
        added = extras(scoring, sizes.kv_len, mask.table)
        shared = (_Inputs(*inputs), delta, packed, _Inputs(*(strides(x) for x in inputs)), added, scale)
        lengths = (sizes.group, sizes.q_len, sizes.kv_len, mask.reach(sizes.kv_len), sizes.sequences)
        dkdv_kernel[(sizes.programs(sizes.kv_len, sizes.kv_heads, tiling.dkdv.block_n),)](
            *shared,
            *lengths,
            sizes.kv_heads,
            *(dk, dv, strides(dk), strides(dv)),
            PLAN=tiling.dkdv.plan(_widths(sizes, in_parts_from=192), sizes, mask, scoring),
            **tiling.dkdv.options,
        )
        dq_kernel[(sizes.programs(sizes.q_len, sizes.q_heads, tiling.dq.block_m),)](
            *shared,
            *lengths,
            sizes.q_heads,
            *(dq, strides(dq)),
            PLAN=tiling.dq.plan(_widths(sizes, in_parts_from=160), sizes, mask, scoring),
            **tiling.dq.options,
        )
    return dq, dk, dv


class _Inputs(NamedTuple):
    """What both large kernels read, beside delta; or the strides of it, which for lse are those of delta as well."""

    dout: Any
    q: Any
    k: Any
    v: Any
    lse: Any


def _widths(sizes: Sizes, in_parts_from: int) -> tuple[Width, Width]:
    """Parts of 128 and 16 are too many registers, and of 128 and 32 where there are two accumulators."""
    whole = 128 < max(sizes.head_dim, sizes.v_head_dim) < in_parts_from
    cut = in_one_part if whole else in_parts
    return cut(sizes.head_dim), cut(sizes.v_head_dim)


def _launch_delta(dout: Tensor, out: Tensor, sizes: Sizes) -> Tensor:
    """delta [B, Hq, Sq], float32, dense."""
    delta = torch.empty(out.shape[:3], dtype=torch.float32, device=out.device)
    rows = min(64, DELTA_ELEMENTS // padded_width(sizes.v_head_dim))
    delta_kernel[(triton.cdiv(sizes.q_len, rows) * out.shape[0] * sizes.q_heads,)](
        *(dout, out, delta),
        *(strides(dout), strides(out), delta.stride()),
        sizes.q_heads,
        sizes.q_len,
        V_HEAD=in_one_part(sizes.v_head_dim),
        ROWS=rows,
    )
    return delta
