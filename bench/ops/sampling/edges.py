"""Which tokens float32 arithmetic may take in or leave out at the edge of a truncation, and the law of a case."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from attnlab.bench.contract.distribution import Law
from attnlab.bench.llm.sampling_math import draw, penalised, truncated_probabilities
from attnlab.bench.ops.sampling.data import LARGEST_UNIFORM

if TYPE_CHECKING:
    from attnlab.bench.ops.sampling.case import SamplingCase, SamplingInputs

ROUNDING = 8 * 2.0**-24  # of a float32 logit that was penalised, scaled and set off against the largest
MASS_ROUNDING = 2.0**-16  # of a sum of up to 2^18 float32 weights, and of exponentials


def law_of(case: SamplingCase, inputs: SamplingInputs) -> Law:
    """The exact distribution in float64, the tokens that are unsure, and draws that are made from the same."""
    logits = inputs.logits.double()
    probabilities = truncated_probabilities(logits, case.params, inputs.seen)
    twins, free = alike_draws(inputs)
    return Law(probabilities, unsure_tokens(case, inputs), draw(probabilities, inputs.uniforms), twins, free)


def alike_draws(inputs: SamplingInputs) -> tuple[Tensor, Tensor]:
    """For each draw the row, counted from the other end, that is equal and has the same number; and which are free.

    Not free is the second of two such draws, and one whose number is the least or the largest there is.
    """
    batch = len(inputs.logits)
    row = torch.arange(batch, device=inputs.logits.device)
    equal = (inputs.logits == inputs.logits.flip(0)).all(-1) & (row != batch - 1 - row)
    if inputs.seen is not None:
        equal = equal & (inputs.seen == inputs.seen.flip(0)).all(-1)
    twin = equal[:, None] & (inputs.uniforms == inputs.uniforms.flip(0))
    at_an_end = (inputs.uniforms == 0) | (inputs.uniforms == LARGEST_UNIFORM)
    second = (row > batch - 1 - row)[:, None]
    return torch.where(twin, (batch - 1 - row)[:, None], -1), ~(twin & second) & ~at_an_end


def unsure_tokens(case: SamplingCase, inputs: SamplingInputs) -> Tensor:
    """bool [B, V]: true for tokens so near to a threshold that rounding decides.

    A token exactly at a threshold is sure: what is equal before is equal after. Of several that are exactly the
    largest, any will do for a greedy choice.
    """
    params = case.params
    x = penalised(inputs.logits.double(), params.repetition_penalty, inputs.seen)
    largest = x.amax(-1, keepdim=True)
    if params.greedy:
        near = x >= largest - (ROUNDING * largest.abs() if params.penalises else 0.0)
        return near & (near.sum(-1, keepdim=True) > 1)
    scaled = (x - largest) / params.temperature
    slack = ROUNDING * ((x.abs() + largest.abs()) / params.temperature + scaled.abs() + 1)
    maybe, sure = _by_rank(x, params.top_k)
    by_mass = _by_mass(scaled, maybe, sure, params.top_p)
    by_size = _by_size(scaled, slack, params.min_p)
    maybe = maybe & by_mass[0] & by_size[0]
    return maybe & ~(sure & by_mass[1] & by_size[1])


def _by_rank(x: Tensor, top_k: int | None) -> tuple[Tensor, Tensor]:
    """Tokens that top-k may keep, and those that it must."""
    if top_k is None or top_k >= x.shape[-1]:
        every = torch.ones_like(x, dtype=torch.bool)
        return every, every
    last = x.topk(top_k).values[:, -1:]
    slack = (ROUNDING * last.abs()).nan_to_num(0.0, 0.0)
    return x >= last - slack, (x == last) | (x > last + slack)


def _by_mass(scaled: Tensor, maybe: Tensor, sure: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The same for top-p, of those that may be left by top-k."""
    if top_p == 1:
        return maybe, maybe
    weights = scaled.exp().masked_fill(~maybe, 0.0)
    total = weights.sum(-1, keepdim=True)
    doubt = MASS_ROUNDING + weights.masked_fill(sure, 0.0).sum(-1, keepdim=True) / total
    falling, order = weights.sort(-1, descending=True)
    before = falling.cumsum(-1).roll(1, -1)
    before[:, 0] = 0
    tied = falling[:, 1:] == falling[:, :-1]
    before[:, 1:] = before[:, 1:].masked_fill(tied, 0.0)
    larger = torch.empty_like(before).scatter_(-1, order, before.cummax(-1).values / total)
    return larger < top_p + doubt, larger < top_p - doubt


def _by_size(scaled: Tensor, slack: Tensor, min_p: float) -> tuple[Tensor, Tensor]:
    """The same for min-p."""
    least = math.log(min_p) if min_p > 0 else -math.inf
    slack = slack.nan_to_num(0.0, 0.0)
    return scaled >= least - slack, scaled >= least + slack
