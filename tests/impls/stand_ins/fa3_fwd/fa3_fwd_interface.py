"""Stands in for fa3-fwd 0.0.3, here returning (out, lse) as some releases do."""

from __future__ import annotations

import torch
from flash_interface import calls, dense, ragged
from torch import Tensor

__all__ = ["calls", "flash_attn_func", "flash_attn_varlen_func"]


def flash_attn_func(
    q: Tensor, k: Tensor, v: Tensor, softmax_scale: float, causal: bool, window_size: tuple[int, int]
) -> tuple[Tensor, None]:
    _check(q, window_size)
    return dense(q, k, v, softmax_scale, causal, window_size[0]), None


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    softmax_scale: float,
    causal: bool,
    window_size: tuple[int, int],
) -> tuple[Tensor, None]:
    _check(q, window_size)
    starts, longest = (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k)
    return ragged(q, k, v, starts, longest, softmax_scale, causal, window_size[0]), None


def _check(q: Tensor, window_size: tuple[int, int]) -> None:
    if q.dtype != torch.bfloat16 or window_size != (-1, -1):
        raise RuntimeError("This flash attention build does not support FP16 or local attention.")
