"""Sampling by sorting whole rows: what `naive` runs and `compiled` compiles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attnlab.bench import SamplingParams
from attnlab.bench.llm import penalised


def sample_sorted(logits: Tensor, uniforms: Tensor, params: SamplingParams, seen: Tensor | None) -> Tensor:
    """Tokens [B, N] in int64 for logits [B, V] and uniforms [B, N]; weights in float32, their sums in float64."""
    x = penalised(logits, params.repetition_penalty, seen)
    if params.greedy:
        return x.argmax(-1, keepdim=True).expand(-1, uniforms.shape[1]).contiguous()
    scaled = (x - x.amax(-1, keepdim=True)) / params.temperature
    if params.truncates:
        scaled = scaled.masked_fill(scaled < _least_kept(scaled, params), -math.inf)
    sums = scaled.exp().double().cumsum(-1)
    total = sums[:, -1:].contiguous()
    last = torch.searchsorted(sums, total)  # the last that adds to the sum
    return torch.searchsorted(sums, uniforms.double() * total, right=True).minimum(last)


def _least_kept(scaled: Tensor, params: SamplingParams) -> Tensor:
    """The smallest scaled logit [B, 1] that no truncation cuts off; the largest is 0."""
    falling = scaled.sort(-1, descending=True).values
    kept = torch.ones_like(falling, dtype=torch.bool)
    if params.top_k is not None and params.top_k < falling.shape[-1]:
        kept = falling >= falling[:, params.top_k - 1 : params.top_k]
    if params.top_p < 1:
        sums = falling.exp().masked_fill(~kept, 0.0).double().cumsum(-1)
        larger = torch.nn.functional.pad(sums[:, :-1], (1, 0))
        kept = kept & (larger < params.top_p * sums[:, -1:])
    least = falling.gather(-1, kept.sum(-1, keepdim=True) - 1)
    return least.clamp_min(math.log(params.min_p)) if params.min_p > 0 else least
