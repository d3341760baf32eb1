"""Stands in for flash-attn-4 4.0.0b36 on a GPU of compute capability 10.0."""

from __future__ import annotations

import torch
from flash_interface import calls, dense, ragged
from plain_attention import Added
from torch import Tensor

__all__ = ["calls", "flash_attn_func", "flash_attn_varlen_func"]

Window = tuple[int | None, int | None]


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    softmax_scale: float,
    causal: bool,
    window_size: Window,
    learnable_sink: Tensor | None = None,
    softcap: float = 0.0,
) -> tuple[Tensor, None]:
    _check(q, v, learnable_sink)
    added = Added(softcap, sinks=learnable_sink)
    return dense(q, k, v, softmax_scale, causal, window_size[0], added), None


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
    learnable_sink: Tensor | None = None,
    softcap: float = 0.0,
) -> tuple[Tensor, None]:
    _check(q, v, learnable_sink)
    starts, longest = (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k)
    added = Added(softcap, sinks=learnable_sink)
    return ragged(q, k, v, starts, longest, softmax_scale, causal, window_size[0], added), None


def _check(q: Tensor, v: Tensor, sink: Tensor | None) -> None:
    assert sink is None or (sink.shape, sink.dtype) == (q.shape[-2:-1], torch.bfloat16)
    D, Dv = q.shape[-1], v.shape[-1]
    served = (max(D, Dv) <= 128 or (D, Dv) in ((192, 128), (256, 256))) and D % 8 == Dv % 8 == 0
    assert served, f"head_dim {D} is not supported on SM100/SM110."
