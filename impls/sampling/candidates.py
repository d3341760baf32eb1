"""Sampling on a CPU without a sort of the vocabulary: blocks and splits leave a few candidates to be sorted."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attnlab.bench import SamplingCase, SamplingInputs, SamplingParams, Unavailable, implements
from attnlab.bench.llm import draw, least_in_nucleus, penalised

BLOCK = 64  # logits whose largest is looked at first


@implements("sampling", name="candidates")
class Candidates:
    """Takes the few tokens that top-k may keep from the blocks with the largest logits; splits mass for top-p."""

    def prepare(self, case: SamplingCase, inputs: SamplingInputs) -> None:
        if inputs.logits.is_cuda:
            raise Unavailable("reads the number of candidates on the host: for tensors on a CPU")

    def run(self, inputs: SamplingInputs, state: None) -> Tensor:
        """Tokens [B, N] in int64; row by row, weights in float32."""
        x = penalised(inputs.logits, inputs.params.repetition_penalty, inputs.seen)
        rows = zip(x, inputs.uniforms, strict=True)
        return torch.stack([_sample(row, uniforms, inputs.params) for row, uniforms in rows])


def _sample(x: Tensor, uniforms: Tensor, params: SamplingParams) -> Tensor:
    """Tokens [N] for the logits [V] of one row."""
    vocab = len(x)
    blocks = (torch.nn.functional.pad(x, (0, -vocab % BLOCK), value=-math.inf) if vocab % BLOCK else x).view(-1, BLOCK)
    peaks = blocks.amax(-1)
    if params.greedy:
        block = peaks.argmax()
        return (block * BLOCK + blocks[block].argmax()).expand(len(uniforms)).clone()
    if params.top_k is None or params.top_k >= vocab:
        weights = _cut(((blocks - peaks.amax()) / params.temperature).exp_(), params)
        return _draw_in_blocks(weights, uniforms)
    tokens, x = _candidates(blocks, peaks, params.top_k)
    weights = _cut(((x - peaks.amax()) / params.temperature).exp_(), params)
    return tokens[draw(weights[None], uniforms[None])[0]]


def _candidates(blocks: Tensor, peaks: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Tokens [C] that top-k keeps, rising, and their logits.

    k blocks whose largest reaches a bound hold k logits that do: what is below is not among the k largest.
    """
    bound = (peaks if k <= len(peaks) else blocks.view(-1)).topk(k).values[-1]
    bound = bound.clamp(min=torch.finfo(bound.dtype).min)  # -inf is no candidate
    rows = (peaks >= bound).nonzero().squeeze(-1)
    inside = blocks[rows]
    above = inside >= bound
    row, column = above.nonzero().unbind(-1)
    tokens, x = rows[row] * BLOCK + column, inside[above]
    if len(x) <= k:
        return tokens, x
    kept = x >= x.topk(k).values[-1]
    return tokens[kept], x[kept]


def _cut(weights: Tensor, params: SamplingParams) -> Tensor:
    """Weights, the largest of them 1, without those that top-p or min-p cuts off."""
    if params.top_p == 1:
        return weights.masked_fill_(weights < params.min_p, 0.0) if params.min_p > 0 else weights
    least = least_in_nucleus(weights.view(-1), params.top_p * weights.sum()).clamp_min(params.min_p)
    return weights.masked_fill_(weights < least, 0.0)


def _draw_in_blocks(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Tokens [N] for weights [V / BLOCK, BLOCK]: the block first, then the place in it."""
    sums = weights.sum(-1).double().cumsum(-1)
    wanted = uniforms.double() * sums[-1]
    block = torch.searchsorted(sums, wanted, right=True).minimum(torch.searchsorted(sums, sums[-1]))
    inner = weights[block].double().cumsum(-1)  # [N, BLOCK]
    rest = (wanted - torch.nn.functional.pad(sums[:-1], (1, 0))[block])[:, None]
    place = torch.searchsorted(inner, rest, right=True).minimum(torch.searchsorted(inner, inner[:, -1:].contiguous()))
    return block * BLOCK + place.squeeze(-1)
