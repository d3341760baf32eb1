"""Grouped heads as rows of one matrix product, so that the keys of a group are never copied."""

from __future__ import annotations

from torch import Tensor


def as_rows(x: Tensor, kv_heads: int) -> Tensor:
    """[B, Hq, S, N] -> [B, Hkv, G·S, N]: the heads of a group one after another."""
    return x.reshape(x.shape[0], kv_heads, x.shape[1] // kv_heads * x.shape[2], x.shape[3])


def as_heads(x: Tensor, heads: int, length: int) -> Tensor:
    """[B, Hkv, G·S, N] -> [B, Hq, S, N], with Hq the heads and S the length: any but the heads may be 0."""
    return x.reshape(x.shape[0], heads, length, x.shape[3])
