"""What is known of each token of many sampled answers, under the exact truncated distribution of its place."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from attnlab.bench.llm.sampling_math import draw, penalised, truncated_probabilities
from attnlab.bench.llm.sampling_params import SamplingParams

CLAMPED_AT = 2.5  # standard deviations of a log-probability
TINY = 1e-300


@dataclass(frozen=True)
class Laws:
    """The distributions of some places, [S, V]: probabilities after truncation, and logits after the penalty."""

    probabilities: Tensor
    logits: Tensor
    params: SamplingParams

    @classmethod
    def of(cls, logits: Tensor, params: SamplingParams, seen: Tensor | None) -> Laws:
        x = penalised(logits.double(), params.repetition_penalty, seen)
        return cls(truncated_probabilities(x, replace(params, repetition_penalty=1.0)), x, params)

    def drawn(self, uniforms: Tensor) -> Tensor:
        """A token of each place, int64 [S], by uniforms [S]."""
        return draw(self.probabilities, uniforms[:, None])[:, 0]

    def outside(self, tokens: Tensor, noise: float) -> tuple[Tensor, Tensor]:
        """Of tokens [S]: which are beyond the truncation, and which are so although logits may be off by `noise`."""
        beyond = self._of(tokens)[:, 0] == 0
        refused = torch.zeros_like(beyond)
        for place in beyond.nonzero()[:, 0].tolist():
            least = self._least_logit(place, noise)
            refused[place] = bool(self.logits[place, tokens[place]] < least)
        return beyond, refused

    def _least_logit(self, place: int, noise: float) -> float:
        """The least logit that any engine with that noise may keep."""
        p, shift = self.params, 2 * noise / self.params.temperature
        top_p = 1.0 if p.top_p == 1 else 1 / (1 + (1 - p.top_p) / p.top_p * math.exp(-shift))
        loose = replace(p, top_p=top_p, min_p=p.min_p * math.exp(-shift), repetition_penalty=1.0)
        x = self.logits[place : place + 1]
        return float(x[truncated_probabilities(x, loose) > 0].min()) - noise

    def borderline(self, noise: float) -> float:
        """The mean mass of kept tokens that so much noise in a logit may put beyond the truncation."""
        if not self.params.truncates:
            return 0.0
        kept = self.probabilities > 0
        least = self.logits.masked_fill(~kept, math.inf).amin(-1, keepdim=True)
        near = kept & (self.logits < least + noise)
        return float((self.probabilities * near).sum(-1).mean())

    def _of(self, tokens: Tensor) -> Tensor:
        return self.probabilities.gather(-1, tokens[:, None])

    def places(self, tokens: Tensor) -> Places:
        """tokens: int64 [S]."""
        p, of = self.probabilities, self._score
        own = self._of(tokens)
        ids = torch.arange(p.shape[1], device=p.device)
        ties = (p == own).logical_and(ids < tokens[:, None])
        return Places(
            by_id=(p * (ids < tokens[:, None])).sum(-1),
            by_rank=(p * ((p > own) | ties)).sum(-1),
            mass=own[:, 0],
            score=of.clamped(own)[:, 0] - of.centre,
            variance=of.variance,
            bound=CLAMPED_AT * of.spread[:, 0] + of.centre.abs(),
            last=self._last,
        )

    @cached_property
    def _score(self) -> Score:
        return Score.of(self.probabilities)

    def drift(self, other: Laws) -> Tensor:
        """What the score of draws of another law that are kept by this one is off its mean, [S]."""
        scores = self._score.clamped(self.probabilities)
        theirs = other.probabilities * (self.probabilities > 0)
        theirs = theirs / theirs.sum(-1, keepdim=True).clamp_min(1e-300)
        drift: Tensor = ((theirs - self.probabilities) * scores).sum(-1)
        return drift

    @cached_property
    def _last(self) -> Tensor:
        """The probability of the least likely token that is kept, [S]."""
        return self.probabilities.masked_fill(self.probabilities == 0, math.inf).amin(-1)


@dataclass(frozen=True)
class Score:
    """Of the tokens of each place: how far its log-probability is from the mean one, clamped, not yet of mean 0.

    mean, spread: of log-probabilities, [S, 1]. centre, variance: of scores, [S].
    """

    mean: Tensor
    spread: Tensor
    centre: Tensor
    variance: Tensor

    @classmethod
    def of(cls, p: Tensor) -> Score:
        """p: the probabilities of some places, [S, V]."""
        logs = p.clamp_min(TINY).log()
        mean = (p * logs).sum(-1, keepdim=True)
        spread = (p * (logs - mean).square()).sum(-1, keepdim=True).sqrt()
        blank = torch.zeros_like(mean[:, 0])
        scores = cls(mean, spread, blank, blank).clamped(p)
        centre = (p * scores).sum(-1)
        return cls(mean, spread, centre, (p * scores.square()).sum(-1) - centre.square())

    def clamped(self, p: Tensor) -> Tensor:
        """The scores of tokens of probability p [S, ...]."""
        off = (p.clamp_min(TINY).log() - self.mean) / self.spread.clamp_min(1e-12)
        return off.clamp(-CLAMPED_AT, CLAMPED_AT) * self.spread


@dataclass(frozen=True)
class Places:
    """Of the token of each place, [S]: the mass of smaller ids, and of likelier tokens; its own mass; its score.

    The score is its log-probability less the expected one, clamped, of mean 0, with variance and bound. A token covers
    the stretch from the mass before it to that with its own: the probability integral transform of a discrete law.
    last: the probability of the least likely token that is kept.
    """

    by_id: Tensor
    by_rank: Tensor
    mass: Tensor
    score: Tensor
    variance: Tensor
    bound: Tensor
    last: Tensor

    @classmethod
    def joined(cls, parts: list[Places]) -> Places:
        return cls(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def of(self, kept: Tensor) -> Places:
        """Those of a mask [S]."""
        return Places(**{f.name: getattr(self, f.name)[kept] for f in fields(Places)})

    def above(self, order: str, level: float) -> Tensor:
        """How much of each token's stretch lies above a level, as a share of it: of mean 1 − level."""
        end = getattr(self, order) + self.mass
        share: Tensor = ((end - level) / self.mass.clamp_min(1e-300)).clamp(0.0, 1.0)
        return share

    def middles(self, order: str) -> Tensor:
        """The middle of each token's stretch less ½: of mean 0, and within ½ of it."""
        middle: Tensor = getattr(self, order) + self.mass / 2 - 0.5
        return middle
