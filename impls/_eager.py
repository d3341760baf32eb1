"""Attention as the formula says, with the whole score matrix: what `naive` runs and `compiled` compiles."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench import AttentionInputs, Case
from attnlab.bench.llm import permitted_pairs
from attnlab.impls._heads import as_heads, as_rows


def forbidden_pairs(case: Case, inputs: AttentionInputs) -> Tensor | None:
    """A boolean [Sq, Sk], true where a query may not see a key; None where every pair is permitted."""
    if inputs.mask.kind == "full" and inputs.packed is None:
        return None
    q_len, kv_len = inputs.q.shape[2], inputs.k.shape[2]
    rows = torch.arange(q_len, device=inputs.q.device)
    return ~permitted_pairs(inputs.mask, rows, q_len, kv_len, inputs.packed)


def attend(q: Tensor, k: Tensor, v: Tensor, forbidden: Tensor | None, scale: float, cap: float | None = None) -> Tensor:
    """softmax(scale · q kᵀ) v for q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv] -> [B, Hq, Sq, Dv].

    Scores and softmax are in float32; the probabilities are rounded to q's dtype for the second product. cap: scores
    are cap · tanh(score / cap), before the mask.
    """
    heads, q_len, kv_heads = q.shape[1], q.shape[2], k.shape[1]
    rows = as_rows(q.float() * scale, kv_heads)  # [B, Hkv, G·Sq, D]
    scores = as_heads(rows @ k.float().mT, heads, q_len)  # [B, Hq, Sq, Sk]
    if cap is not None:
        scores = cap * (scores / cap).tanh()
    if forbidden is None:
        p = scores.softmax(-1)
    else:
        p = scores.masked_fill(forbidden, float("-inf")).softmax(-1)
        p = p.masked_fill(forbidden, 0.0)  # a row without a permitted key is NaN before this
    return as_heads(as_rows(p.to(q.dtype), kv_heads) @ v, heads, q_len)
