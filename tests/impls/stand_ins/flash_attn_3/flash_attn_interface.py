"""Stands in for flash-attn-3 3.0.0b1, whose functions return out alone."""

from __future__ import annotations

from typing import Any

import torch
from flash_interface import cached, calls, dense, ragged
from plain_attention import Added
from torch import Tensor

__all__ = ["calls", "flash_attn_func", "flash_attn_varlen_func", "flash_attn_with_kvcache"]


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    softmax_scale: float | None = None,
    causal: bool = False,
    qv: Any = None,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    _check(q, v)
    added = Added(softcap, chunk=attention_chunk)
    return dense(q, k, v, softmax_scale or q.shape[-1] ** -0.5, causal, window_size[0], added)


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    seqused_q: Any = None,
    seqused_k: Any = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    qv: Any = None,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    _check(q, v)
    starts, longest = (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k)
    scale, added = softmax_scale or q.shape[-1] ** -0.5, Added(softcap, chunk=attention_chunk)
    return ragged(q, k, v, starts, longest, scale, causal, window_size[0], added)


def flash_attn_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    cache_seqlens: Tensor,
    page_table: Tensor | None = None,
    *,
    softmax_scale: float,
    causal: bool,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    assert causal
    _check(q, v_cache)
    added = Added(softcap, chunk=attention_chunk)
    return cached(q, k_cache, v_cache, cache_seqlens, page_table, softmax_scale, window_size[0], added)


def _check(q: Tensor, v: Tensor) -> None:
    D, Dv = q.shape[-1], v.shape[-1]
    if q.dtype not in (torch.float16, torch.bfloat16) or D % 8 or Dv % 8 or D > 256:
        raise RuntimeError("head_size should be a multiple of 8, the dtype fp16 or bf16")
    if Dv != D and not ((128 < D <= 192 and 96 < Dv <= 128) or (D <= 64 and Dv <= 512)):
        raise RuntimeError("V headdim is not supported beside this Q/K headdim")
