"""memory_efficient_attention of xformers 0.0.35; rows without a key, which it leaves undefined, are NaN."""

from __future__ import annotations

from typing import Any

import torch
from plain_attention import NO_LIMIT, Added, attend, attend_ragged
from torch import Tensor

from .fmha.attn_bias import AttentionBias

calls: list[dict[str, Any]] = []


def memory_efficient_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: AttentionBias | Tensor | None = None,
    p: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    if query.shape[-1] % 8:
        raise NotImplementedError("No operator found:\n    K % 8")
    assert scale is not None
    assert query.ndim == key.ndim == value.ndim
    calls.append({"q": query, "k": key, "v": value})
    if query.ndim == 5:
        assert query.shape[2:4] == key.shape[2:4] == value.shape[2:4], "expand keys before the call"
        shape = query.shape[2:4]
        query, key, value = (x.flatten(2, 3) for x in (query, key, value))
        if isinstance(attn_bias, Tensor):
            attn_bias = attn_bias.flatten(1, 2)
        return _attend(query, key, value, AttentionBias() if attn_bias is None else attn_bias, scale).unflatten(
            2, shape
        )
    return _attend(query, key, value, AttentionBias() if attn_bias is None else attn_bias, scale)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: AttentionBias | Tensor, scale: float) -> Tensor:
    if isinstance(bias, Tensor):
        assert (bias.dtype, bias.shape[0]) == (q.dtype, q.shape[0]), "a bias has the queries' dtype and batch"
        assert bias.stride(-2) % 8 == 0, "rows of a bias are padded in memory"
        return attend(q, k, v, scale, False, NO_LIMIT, Added(bias=bias)).to(q.dtype)
    left = NO_LIMIT if bias.window is None else bias.window - 1
    if bias.starts is not None:
        starts, keys = torch.tensor(bias.starts), torch.tensor(bias.key_starts)
        return attend_ragged(q[0], k[0], v[0], starts, keys, scale, bias.causal, left)[None].to(q.dtype)
    out = attend(q, k, v, scale, bias.causal, left)
    if bias.causal and q.shape[1] > k.shape[1]:
        out[:, : q.shape[1] - k.shape[1]] = float("nan")
    return out.to(q.dtype)
