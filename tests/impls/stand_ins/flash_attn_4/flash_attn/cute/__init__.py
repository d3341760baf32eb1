"""Stands in for flash-attn-4 4.0.0b36 on a GPU of compute capability 10.0."""

from __future__ import annotations

from flash_interface import calls, dense, ragged
from torch import Tensor

__all__ = ["calls", "flash_attn_func", "flash_attn_varlen_func"]

Window = tuple[int | None, int | None]


def flash_attn_func(
    q: Tensor, k: Tensor, v: Tensor, *, softmax_scale: float, causal: bool, window_size: Window
) -> tuple[Tensor, None]:
    _check(q, v)
    return dense(q, k, v, softmax_scale, causal, window_size[0]), None


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    softmax_scale: float,
    causal: bool,
    window_size: Window,
) -> tuple[Tensor, None]:
    _check(q, v)
    starts, longest = (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k)
    return ragged(q, k, v, starts, longest, softmax_scale, causal, window_size[0]), None


def _check(q: Tensor, v: Tensor) -> None:
    D, Dv = q.shape[-1], v.shape[-1]
    served = (max(D, Dv) <= 128 or (D, Dv) in ((192, 128), (256, 256))) and D % 8 == Dv % 8 == 0
    assert served, f"head_dim {D} is not supported on SM100/SM110."
