"""Grouped heads as rows of one matrix product, so that the keys of a group are never copied."""

from __future__ import annotations

from torch import Tensor


def as_rows(x: Tensor, kv_heads: int) -> Tensor:
    """[B, Hq, S, N] -> [B, Hkv, G·S, N]: the heads of a group one after another."""
    return x.reshape(x.shape[0], kv_heads, -1, x.shape[3])


def as_heads(x: Tensor, length: int) -> Tensor:
    """[B, Hkv, G·S, N] -> [B, Hq, S, N], with S the length."""
    return x.reshape(x.shape[0], -1, length, x.shape[3])
