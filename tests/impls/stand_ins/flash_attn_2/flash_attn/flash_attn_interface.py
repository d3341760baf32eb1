"""The functions of flash-attn 2.8.3 that an adapter calls, with its limits."""

from __future__ import annotations

from typing import Any

import torch
from flash_interface import cached, calls, dense, ragged
from plain_attention import Added
from torch import Tensor

__all__ = [
    "_flash_attn_backward",
    "_flash_attn_varlen_backward",
    "calls",
    "flash_attn_func",
    "flash_attn_varlen_func",
    "flash_attn_with_kvcache",
]


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
) -> Tensor:
    _check(q, k, v, window_size)
    return dense(q, k, v, softmax_scale or q.shape[-1] ** -0.5, causal, window_size[0], Added(softcap, alibi_slopes))


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
) -> Tensor:
    _check(q, k, v, window_size)
    starts, longest = (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k)
    scale, added = softmax_scale or q.shape[-1] ** -0.5, Added(softcap, alibi_slopes)
    return ragged(q, k, v, starts, longest, scale, causal, window_size[0], added)


def flash_attn_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    cache_seqlens: Tensor,
    block_table: Tensor | None = None,
    *,
    softmax_scale: float,
    causal: bool,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
) -> Tensor:
    assert causal
    _check(q, k_cache, v_cache, window_size)
    added = Added(softcap, alibi_slopes)
    return cached(q, k_cache, v_cache, cache_seqlens, block_table, softmax_scale, window_size[0], added)


def _flash_attn_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    softmax_lse: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    dropout_p: float,
    softmax_scale: float,
    causal: bool,
    window_size_left: int,
    window_size_right: int,
    softcap: float,
    alibi_slopes: Tensor | None,
    deterministic: bool,
    rng_state: Tensor | None = None,
) -> Tensor:
    _check_backward(q, out, softmax_lse.transpose(1, 2), window_size_left, window_size_right)
    return _differentiated(
        dout,
        (q, k, v),
        (dq, dk, dv),
        lambda *qkv: dense(*qkv, softmax_scale, causal, window_size_left, Added(softcap, alibi_slopes)),
    )


def _flash_attn_varlen_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    softmax_lse: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float,
    softmax_scale: float,
    causal: bool,
    window_size_left: int,
    window_size_right: int,
    softcap: float,
    alibi_slopes: Tensor | None,
    deterministic: bool,
    rng_state: Tensor | None = None,
    zero_tensors: bool = False,
) -> Tensor:
    _check_backward(q, out, softmax_lse.transpose(0, 1), window_size_left, window_size_right)
    starts, longest = (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k)
    return _differentiated(
        dout,
        (q, k, v),
        (dq, dk, dv),
        lambda *qkv: ragged(
            *qkv, starts, longest, softmax_scale, causal, window_size_left, Added(softcap, alibi_slopes)
        ),
    )


def _differentiated(dout: Tensor, inputs: tuple[Tensor, ...], into: tuple[Tensor, ...], forward: Any) -> Tensor:
    leaves = [x.detach().requires_grad_() for x in inputs]
    with torch.enable_grad():
        made = forward(*leaves)
    for gradient, place in zip(torch.autograd.grad(made, leaves, dout), into, strict=True):
        place.copy_(gradient)
    return (dout.float() * made.float()).sum(-1)


def _check_backward(q: Tensor, out: Tensor, lse: Tensor, left: int, right: int) -> None:
    _check(q, q, q, (left, right))
    if q.shape[-1] % 8 or out.shape != q.shape or lse.shape != q.shape[:-1] or lse.dtype is not torch.float32:
        raise RuntimeError("head size must be a multiple of 8, out as q, and softmax_lse float32 of its rows")
    if bool((lse == -torch.inf).any()):
        raise RuntimeError("a row without a key has a softmax_lse of +inf")


def _check(q: Tensor, k: Tensor, v: Tensor, window_size: tuple[int, int]) -> None:
    if q.dtype not in (torch.float16, torch.bfloat16) or not q.shape[-1] == k.shape[-1] == v.shape[-1] <= 256:
        raise RuntimeError("FlashAttention only supports fp16 and bf16 and one head size of at most 256")
    if not all(x.stride(-1) == 1 for x in (q, k, v)):
        raise RuntimeError("Input tensor must have contiguous last dimension")
    if any(not isinstance(side, int) for side in window_size):
        raise TypeError("window_size takes whole numbers")
