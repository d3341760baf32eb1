"""Attention as the formula says, with the whole score matrix: what `naive` runs and `compiled` compiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import AttentionInputs, Case
from attnlab.bench.llm import NORM_EPS, permitted_pairs, places_of
from attnlab.impls._heads import as_heads, as_rows

SERVES: dict[str, Any] = {
    "mask": True,
    "softcap": True,
    "sinks": True,
    "bias": True,
    "qk_norm": True,
    "packed_keys": True,
}


@dataclass(frozen=True)
class Matrix:
    """What follows from static inputs, for every query and key.

    forbidden: bool, broadcasts to [B, Hq, Sq, Sk], true where a query may not see a key; None where it sees all. bias:
    what is added to scores, float32, the same shape; None where nothing is.
    """

    forbidden: Tensor | None
    bias: Tensor | None = None


def matrix(case: Case, inputs: AttentionInputs) -> Matrix:
    """Of attention over a prompt."""
    q_len, kv_len = inputs.q.shape[2], inputs.k.shape[2]
    rows = torch.arange(q_len, device=inputs.q.device)
    packs = inputs.packed, inputs.packed_keys
    bias = inputs.bias_table
    if bias is not None and inputs.bias.kind != "dense":
        distance = places_of(rows, q_len, kv_len, *packs).distance
        bias = inputs.bias.of(bias, distance, inputs.mask.is_causal)
    if inputs.mask.kind == "full" and inputs.packed is None:
        return Matrix(None, bias)
    return Matrix(~permitted_pairs(inputs.mask, rows, q_len, kv_len, *packs), bias)


def normed(x: Tensor, weight: Tensor | None) -> Tensor:
    """RMSNorm of rows [..., D] in float32, rounded to the dtype; as they are without a weight."""
    if weight is None:
        return x
    wide = x.float()
    return (wide * (wide.square().mean(-1, keepdim=True) + NORM_EPS).rsqrt() * weight.float()).to(x.dtype)


def scored(q: Tensor, k: Tensor, scale: float, cap: float | None, bias: Tensor | None) -> Tensor:
    """Scores in float32 [B, Hq, Sq, Sk] with cap and bias, before the mask."""
    rows = as_rows(q.float() * scale, k.shape[1])  # [B, Hkv, G·Sq, D]
    scores = as_heads(rows @ k.float().mT, q.shape[1], q.shape[2])
    if cap is not None:
        scores = cap * (scores / cap).tanh()
    return scores if bias is None else scores + bias


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    matrix: Matrix,
    scale: float,
    cap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """softmax(scores) v for q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv] -> [B, Hq, Sq, Dv].

    Scores and softmax are in float32; the probabilities are rounded to q's dtype for the second product. cap: scores
    are cap · tanh(score / cap), before bias and mask. sinks [Hq]: one more score a head, of no value.
    """
    heads, q_len, kv_heads, kv_len = q.shape[1], q.shape[2], k.shape[1], k.shape[2]
    scores = scored(q, k, scale, cap, matrix.bias)
    if matrix.forbidden is not None:
        scores = scores.masked_fill(matrix.forbidden, float("-inf"))
    if sinks is None:
        p = scores.softmax(-1)
    else:
        column = sinks[:, None, None].expand(*scores.shape[:-1], 1)
        p = torch.cat([scores, column], -1).softmax(-1)[..., :kv_len]
    if matrix.forbidden is not None:
        p = p.masked_fill(matrix.forbidden, 0.0)  # a row without a permitted key is NaN before this
    return as_heads(as_rows(p.to(q.dtype), kv_heads) @ v, heads, q_len)


def attend_prompt(inputs: AttentionInputs, matrix: Matrix) -> Tensor:
    """The same of all inputs over a prompt."""
    q, k = normed(inputs.q, inputs.q_norm), normed(inputs.k, inputs.k_norm)
    return attend(q, k, inputs.v, matrix, inputs.scale, inputs.softcap, inputs.sinks)
