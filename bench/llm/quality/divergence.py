"""How far one model's predictions are from another's on the same tokens: measures of each token, and of all of them.

The measures are those of llama.cpp's tools/perplexity, from logits of 32 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm.quality.scoring import Scored
from attnlab.bench.stats.blocks import BlockMean, block_mean

BLOCK_TOKENS = 64
"""Neighbours that are taken as one for an interval: what a token says of a model, those beside it say again."""


@dataclass(frozen=True, eq=False)
class Divergences:
    """Of each scored token of windows, [n, S] in float64 on the CPU.

    base, other: logarithms of the right token's probability, of the model that is compared with and of the other. kl:
    the Kullback-Leibler divergence of the other's distribution from the base's, in nats. same: whether both find the
    same token most likely.
    """

    base: Tensor
    other: Tensor
    kl: Tensor
    same: Tensor

    @property
    def perplexity(self) -> float:
        return _perplexity(self.other)

    @property
    def base_perplexity(self) -> float:
        return _perplexity(self.base)

    @property
    def kl_mean(self) -> float:
        return float(self.kl.mean())

    def kl_quantile(self, share: float) -> float:
        """The value that this share of the tokens is at or below, interpolated between neighbours."""
        return float(self.kl.flatten().quantile(share))

    @property
    def same_top(self) -> float:
        return float(self.same.double().mean())

    @property
    def rms_probability_change(self) -> float:
        return float((self.other.exp() - self.base.exp()).square().mean().sqrt())

    @property
    def change(self) -> BlockMean:
        """The mean of how much less likely the other finds a token, in nats, with its interval.

        Pairs of the two models' logarithms are taken token by token; tokens of a text hang on each other, so that an
        interval is worked out from sums over blocks of neighbours within a window.
        """
        blocks = [b for window in self.base - self.other for b in _blocks(window)]
        return block_mean([float(b.sum()) for b in blocks], [len(b) for b in blocks])

    @property
    def perplexity_difference(self) -> tuple[float, float, float]:
        """The other's perplexity less the base's, and the ends of its 95 % interval, NaN of a single block.

        The ends are those of the mean change of the logarithm, at the base's perplexity on this very text.
        """
        change, base = self.change, self.base_perplexity
        return tuple(base * math.expm1(x) for x in (change.mean, change.low, change.high))  # type: ignore[return-value]


def _perplexity(logs: Tensor) -> float:
    return math.exp(-float(logs.mean()))


def _blocks(window: Tensor) -> tuple[Tensor, ...]:
    """Neighbouring tokens [S] in blocks as alike in length as can be, of about `BLOCK_TOKENS`."""
    return window.tensor_split(max(1, round(len(window) / BLOCK_TOKENS)))


@torch.no_grad()
def divergences(base: Iterable[Scored], other: Iterable[Scored], windows: int) -> Divergences:
    """Of two models' scores of the same tokens, which come in the same order and portions."""
    found: list[tuple[Tensor, ...]] = []
    for ours, theirs in zip(base, other, strict=True):
        kl = (ours.logs - theirs.logs).mul_(ours.logs.exp()).sum(-1)
        same = ours.top == theirs.top
        found.append((ours.right, theirs.right, kl.clamp_min(0.0), same))
    joined = (torch.cat(parts).cpu().view(windows, -1) for parts in zip(*found, strict=True))
    return Divergences(*joined)


def no_divergence(logs: Tensor) -> Divergences:
    """Of a model from itself, whose right tokens have logarithms [n, S]."""
    return Divergences(logs, logs, torch.zeros_like(logs), torch.ones_like(logs, dtype=torch.bool))
