"""The functions of flash-attn 2.8.3 that an adapter calls, with its limits."""

from __future__ import annotations

import torch
from flash_interface import calls, dense, ragged
from torch import Tensor

__all__ = ["calls", "flash_attn_func", "flash_attn_varlen_func"]


def flash_attn_func(
    q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0, softmax_scale: float | None = None,
    causal: bool = False, window_size: tuple[int, int] = (-1, -1),
) -> Tensor:  # fmt: skip
    _check(q, k, v, window_size)
    return dense(q, k, v, softmax_scale or q.shape[-1] ** -0.5, causal, window_size[0])


def flash_attn_varlen_func(
    q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor, max_seqlen_q: int,
    max_seqlen_k: int, dropout_p: float = 0.0, softmax_scale: float | None = None, causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:  # fmt: skip
    _check(q, k, v, window_size)
    starts, longest = (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k)
    return ragged(q, k, v, starts, longest, softmax_scale or q.shape[-1] ** -0.5, causal, window_size[0])


def _check(q: Tensor, k: Tensor, v: Tensor, window_size: tuple[int, int]) -> None:
    if q.dtype not in (torch.float16, torch.bfloat16) or not q.shape[-1] == k.shape[-1] == v.shape[-1] <= 256:
        raise RuntimeError("FlashAttention only supports fp16 and bf16 and one head size of at most 256")
    if not all(x.stride(-1) == 1 for x in (q, k, v)):
        raise RuntimeError("Input tensor must have contiguous last dimension")
    if any(not isinstance(side, int) for side in window_size):
        raise TypeError("window_size takes whole numbers")
