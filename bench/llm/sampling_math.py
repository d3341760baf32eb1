"""The truncated distribution of the next token in plain torch, and drawing from it with given uniform numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attnlab.bench.errors import SamplingError
from attnlab.bench.llm.sampling_params import SamplingParams

SORTED_AT_ONCE = 1024  # weights that cost less to sort than to split
MOST_SPLITS = 24  # of weights that are nearly all equal, and so never fall apart


def truncated_probabilities(logits: Tensor, params: SamplingParams, seen: Tensor | None = None) -> Tensor:
    """Probabilities [B, V] of the next token after penalty, temperature, top-k, top-p and min-p, in this order.

    logits [B, V] of any floating dtype; the result is float64 for float64 and float32 otherwise. seen: int64 [B, L],
    tokens that are penalised, in any number and order; negative ones are none. Greedy is 1 at the first of the
    largest. Raises SamplingError where a row has NaN, +inf or nothing but -inf: one value is read on the host. Whole
    rows are sorted only for top_p without top_k on a GPU.
    """
    x = penalised(logits, params.repetition_penalty, seen)
    largest = x.amax(-1, keepdim=True)
    if not bool(largest.isfinite().all()):
        raise SamplingError(f"got logits with {_fault(logits)}; expected at least one finite logit a row, others -inf")
    if params.greedy:
        return torch.zeros_like(x).scatter_(-1, x.argmax(-1, keepdim=True), 1.0)
    ranked = None
    if params.top_k is not None and params.top_k < x.shape[-1]:
        ranked = x.topk(params.top_k).values
        x = x.masked_fill(x < ranked[:, -1:], -math.inf)
        ranked = ((ranked - largest) / params.temperature).exp()
    weights = ((x - largest) / params.temperature).exp()
    if params.top_p < 1:
        weights = _nucleus(weights, params.top_p, ranked)
    if params.min_p > 0:
        weights = weights.masked_fill(weights < params.min_p, 0.0)  # the largest weight is 1
    return weights / weights.sum(-1, keepdim=True)


def penalised(logits: Tensor, penalty: float, seen: Tensor | None) -> Tensor:
    """Logits [B, V] in float32, or float64 if they are, those of seen tokens [B, L] moved against their sign once."""
    x = logits if logits.dtype == torch.float64 else logits.float()
    if penalty == 1 or seen is None or seen.shape[-1] == 0:
        return x
    vocab = x.shape[-1]
    marked = torch.zeros(x.shape[0], vocab + 1, dtype=torch.bool, device=x.device)
    marked.scatter_(-1, seen.masked_fill(seen < 0, vocab), True)
    return torch.where(marked[:, :vocab], torch.where(x > 0, x / penalty, x * penalty), x)


def draw(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Tokens [B, N] for uniforms [B, N] in [0, 1): the first, by its id, at which the sum exceeds uniform · total.

    probabilities [B, V], which need not add up to 1. A token of probability 0 is never drawn.
    """
    sums = probabilities.double().cumsum(-1)
    total = sums[:, -1:].contiguous()
    last = torch.searchsorted(sums, total)  # the last token that adds to the sum
    return torch.searchsorted(sums, uniforms.double() * total, right=True).minimum(last)


def least_in_nucleus(weights: Tensor, mass: Tensor) -> Tensor:
    """The smallest weight that top-p keeps, of weights [V] on a CPU: larger ones together are less than `mass`.

    Splits at the mean and goes on with the part in which the mass is reached, until it is small enough to be sorted.
    """
    above = torch.zeros_like(mass)
    for _ in range(MOST_SPLITS):
        if len(weights) <= SORTED_AT_ONCE:
            break
        heavy = weights > weights.mean()
        larger = weights[heavy]
        with_larger = above + larger.sum()
        if bool(with_larger >= mass):
            weights = larger
        else:
            weights, above = weights[~heavy], with_larger
    falling = weights.sort(descending=True).values
    before = above + torch.nn.functional.pad(falling.cumsum(-1)[:-1], (1, 0))
    return falling[(before < mass).sum().clamp_min(1) - 1]


def _nucleus(weights: Tensor, top_p: float, ranked: Tensor | None) -> Tensor:
    """Weights [B, V] without those beyond the top_p mass; `ranked` are all that are kept so far, falling, if known."""
    mass = top_p * weights.sum(-1, keepdim=True)
    if ranked is None and not weights.is_cuda:
        least = torch.stack([least_in_nucleus(*row) for row in zip(weights, mass.squeeze(-1), strict=True)])[:, None]
        return weights.masked_fill(weights < least, 0.0)
    falling = weights.sort(-1, descending=True).values if ranked is None else ranked
    before = falling.cumsum(-1).roll(1, -1)  # the mass of those that are larger
    before[:, 0] = 0
    kept = (before < mass).sum(-1, keepdim=True)
    return weights.masked_fill(weights < falling.gather(-1, kept - 1), 0.0)


def _fault(logits: Tensor) -> str:
    if bool(logits.isnan().any()):
        return "NaN"
    return "+inf" if bool((logits == math.inf).any()) else "a row of nothing but -inf"
