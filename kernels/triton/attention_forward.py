"""Attention forward in Triton: online softmax over tiles of keys, with GQA, masks, packs, caps, biases and sinks.

Technique: FlashAttention-2 (Dao, 2023, arXiv:2307.08691), with exp2 instead of exp, the loop over keys split into
tiles that need no mask and tiles that do, and tiles without a permitted key left out.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton import attention_ranges as ranges
from attnlab.kernels.triton import attention_scores as softmax
from attnlab.kernels.triton import attention_tiles as tiles
from attnlab.kernels.triton.attention_arguments import Tiling, check, gathers, strides
from attnlab.kernels.triton.attention_masks import Mask, chosen
from attnlab.kernels.triton.attention_places import this_tile
from attnlab.kernels.triton.attention_scoring import PLAIN, Scoring, extras
from attnlab.kernels.triton.attention_seen import attention_mask
from attnlab.kernels.triton.device import LOG2_E, architecture
from attnlab.kernels.triton.head_widths import in_parts, is_exact


def configuration(head_dim: int, v_head_dim: int, dtype: torch.dtype, sm: int, gathers: bool = False) -> Tiling:
    """The shipped tiling for a pair of head sizes on a compute capability (times ten).

    gathers: whether each score has a number of its own to load, see `gathers`; tiles are then small, for its pointers.

    What was compiled of it and what spills stands in docs/kernels.md. For a head size of 128 on sm_90 the fastest of
    nine on an H100 (8192 tokens, 16 heads, bfloat16, full and causal); the others are chosen for size alone.
    """
    widest = max(head_dim, v_head_dim)
    roomy = 90 <= sm < 120  # 227 KiB of shared memory, and operands read from there and not from registers
    if dtype == torch.float32:
        if widest <= 64:
            return Tiling(64, 32, num_warps=8, num_stages=1)
        if widest <= 128:
            return Tiling(32, 16, num_warps=8, num_stages=1, all_registers=True)
        return Tiling(32, 32, num_warps=16, num_stages=1)
    if not is_exact(head_dim, v_head_dim):
        if widest <= 128:
            return Tiling(64, 32, num_warps=8, num_stages=2, all_registers=True)
        return Tiling(32, 32, num_warps=8, num_stages=1, all_registers=True)
    if gathers and widest <= 128:
        return Tiling(64, 64 if widest <= 64 else 32, num_warps=8, num_stages=2)
    if widest <= 64:
        return Tiling(128, 64, num_warps=4, num_stages=3, all_registers=sm < 90)
    if widest == 128 and 90 <= sm < 100:
        return Tiling(64, 64, num_warps=4, num_stages=3)
    if widest <= 128:
        return Tiling(128, 64, num_warps=8, num_stages=3)
    if roomy:
        return Tiling(128, 64 if widest <= 192 else 32, num_warps=8, num_stages=2)
    if widest <= 192:
        return Tiling(32, 64 if widest == 192 else 32, num_warps=8, num_stages=2)
    return Tiling(64, 32, num_warps=8, num_stages=2)


def attention_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    causal: bool = False,
    window: int | None = None,
    mask: Mask | None = None,
    scoring: Scoring = PLAIN,
    cu_seqlens: Tensor | None = None,
    cu_seqlens_k: Tensor | None = None,
    max_seqlen: int | None = None,
    tiling: Tiling | None = None,
) -> tuple[Tensor, Tensor]:
    """softmax(scale · q kᵀ) v and the logarithm of the softmax's denominator.

    q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv]: one dtype of float32, float16, bfloat16; head sizes 1 to
    256; Hq a multiple of Hkv; any strides but in the last axis. Sums are in float32.

    causal: query i sees keys up to i + Sk - Sq. window: only the last `window` of these; needs causal. mask: another
    than these two say. scoring: soft cap, bias and sinks, see `Scoring`.
    cu_seqlens: int32 [N + 1], for batch 1: rows cu_seqlens[n] to cu_seqlens[n + 1] of q, k and v are a sequence of
    their own. cu_seqlens_k: those of k and v, where they are others. max_seqlen: the longest of queries. Where it is
    left out, the lengths are read and checked, which waits for the device; on a GPU they are not read where it is
    given. The grid does not depend on it.
    tiling: another than `configuration` would choose.

    Returns out [B, Hq, Sq, Dv] in q's dtype and lse [B, Hq, Sq], float32, natural. A sink is in lse. Without a key that
    it may see, a query's are 0 and its sink, or -inf where there is none. Raises ValueError on arguments that do not
    fit, before any launch.
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
    out = torch.empty(*q.shape[:3], sizes.v_head_dim, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    if lse.numel() == 0:
        return out, lse
    with torch.cuda.device_of(q):
        tiling = tiling or configuration(
            sizes.head_dim, sizes.v_head_dim, q.dtype, architecture(), gathers(mask, scoring)
        )
        widths = in_parts(sizes.head_dim), in_parts(sizes.v_head_dim)
        _forward[(sizes.programs(sizes.q_len, sizes.q_heads, tiling.block_m),)](
            _Operands(q, k, v, out, lse),
            (cu_seqlens, cu_seqlens_k),
            _Operands(*(strides(x) for x in (q, k, v, out, lse))),
            extras(scoring, sizes.kv_len, mask.table),
            scale * LOG2_E.value,
            sizes.sequences,
            sizes.q_heads,
            sizes.group,
            sizes.q_len,
            sizes.kv_len,
            mask.reach(sizes.kv_len),
            PLAN=tiling.plan(widths, sizes, mask, scoring),
            **tiling.options,
        )
    return out, lse


class _Operands(NamedTuple):
    """The tensors of the kernel, or their strides."""

    q: Any
    k: Any
    v: Any
    out: Any
    lse: Any


@triton.jit(do_not_specialize=["sequences", "q_heads", "group", "q_len", "kv_len", "size"])
def _forward(
    tensors: tl.tuple,
    packs: tl.tuple,
    strides: tl.tuple,
    extras: tl.tuple,
    scale_log2: tl.tensor,
    sequences: tl.tensor,
    q_heads: tl.tensor,
    group: tl.tensor,
    q_len: tl.tensor,
    kv_len: tl.tensor,
    size: tl.tensor,
    PLAN: tl.constexpr,
) -> None:
    """A tile of queries of one head over all keys that they may see."""
    HEAD: tl.constexpr = PLAN.head
    V_HEAD: tl.constexpr = PLAN.v_head
    PRECISION: tl.constexpr = PLAN.precision
    SHAPING: tl.constexpr = PLAN.shaping
    first, head, start, key_start, q_len, kv_len = this_tile(
        packs, sequences, q_len, kv_len, q_heads, OF_KEYS=False, PLAN=PLAN
    )
    if first >= q_len:
        return

    q_head = tiles.head_pointer(tensors.q, strides.q, start, head, PLAN.packed)
    k_head = tiles.head_pointer(tensors.k, strides.k, key_start, head // group, PLAN.packed)
    v_head = tiles.head_pointer(tensors.v, strides.v, key_start, head // group, PLAN.packed)
    queries = tiles.load_rows(q_head, strides.q, first, q_len, PLAN.block_m, HEAD, RAGGED=True)  # [M, D]
    rows = first + tl.arange(0, PLAN.block_m)
    bias = softmax.bias_of(extras, head, SHAPING)

    span = ranges.keys_of_queries(first, q_len, kv_len, size, extras.table, PLAN)
    acc = tiles.zero_rows(PLAN.block_m, V_HEAD)
    total = tl.full([PLAN.block_m], 0, tl.float32)  # sum of the weights
    peak = tl.full([PLAN.block_m], float("-inf"), tl.float32)  # largest score, in base 2
    for MASKED in tl.static_range(2):
        for index in tl.range(0, ranges.tile_count(span, PLAN.block_n, MASKED)):
            key = ranges.tile_first(index, span, PLAN.block_n, MASKED)
            keys = tiles.load_rows(k_head, strides.k, key, kv_len, PLAN.block_n, HEAD, RAGGED=MASKED)  # [N, D]
            scores = tiles.dot_rows(queries, keys, PRECISION)  # [M, N]
            columns = key + tl.arange(0, PLAN.block_n)
            factor = scale_log2
            if not SHAPING.plain:
                scores, _ = softmax.shaped(
                    scores, scale_log2, extras, bias, rows[:, None], columns[None, :], q_len, kv_len, SHAPING
                )
                factor = 1.0
            if MASKED:
                allowed = attention_mask(rows[:, None], columns[None, :], q_len, kv_len, size, extras.table, PLAN)
                scores = tl.where(allowed, scores, float("-inf"))
            weights, fade, peak, total = softmax.online_softmax(scores, factor, peak, total)
            values = tiles.load_rows(v_head, strides.v, key, kv_len, PLAN.block_n, V_HEAD, RAGGED=MASKED)  # [N, Dv]
            acc = tiles.add_product(tiles.scale_rows(acc, fade[:, None]), weights, values, PRECISION)

    if SHAPING.sinks:
        fade, peak, total = softmax.add_sink(peak, total, tl.load(extras.sinks + head))
        acc = tiles.scale_rows(acc, fade[:, None])
    acc = tiles.scale_rows(acc, 1 / tl.where(total == 0, 1.0, total)[:, None])  # 0: rows without a permitted key
    tiles.store_rows(
        tiles.head_pointer(tensors.out, strides.out, start, head, PLAN.packed),
        strides.out,
        first,
        q_len,
        acc,
        PLAN.block_m,
        V_HEAD,
    )
    lse_head = tiles.head_pointer(tensors.lse, strides.lse, start, head, PLAN.packed)
    tl.store(lse_head + rows, softmax.log_sum(peak, total), mask=rows < q_len)
