"""The check of samplers: draws are held to an exact distribution, to being independent, and to their own row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from attnlab.bench.contract import independence
from attnlab.bench.contract.error_budget import Probe
from attnlab.bench.contract.wrong import Wrong, row_of
from attnlab.bench.store.deviations import Deviation

C = TypeVar("C")
I = TypeVar("I")  # noqa: E741

P_VALUE = 1e-9  # below, draws are said not to follow the distribution
SURPRISE = -math.log(P_VALUE)
LEAST_EXPECTED = 5.0  # draws of a cell of chi-square; tokens with fewer are pooled
RARE = 1e-300  # in the place of a probability of 0
NO_DRAW = 0.5  # less than one
TWINS_APART = 0.01  # of draws of equal rows by equal numbers, that rounding may make differ
TILTS = (  # of Chernoff's bound
    -1.0,
    -0.9,
    -0.75,
    -0.5,
    -0.25,
    -0.1,
    -0.05,
    -0.02,
    0.02,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.0,
    4.0,
    8.0,
    16.0,
    32.0,
    64.0,
)


AGREEMENT = "improbability of draws that agree with others"
ALONE = "improbability of draws of one token"
OVER_ALLOWED = "times what is allowed"
TWINS = "draws that differ though row and number are equal"


@dataclass(frozen=True)
class Law:
    """What draws must follow.

    probabilities: [B, V], exact, in float64. unsure: bool [B, V], tokens that rounding may take in or leave out; a
    draw of one is let through and counts for nothing else. tokens: int64 [B, N], draws as they may be. twins: int64
    [B, N], another row whose draw there has to be the same, as it is made from the same; -1 where there is none. free:
    bool [B, N], draws that hang on no other. None: there are no twins, and all are free.
    """

    probabilities: Tensor
    unsure: Tensor
    tokens: Tensor
    twins: Tensor | None = None
    free: Tensor | None = None


@dataclass(frozen=True)
class Distribution(Generic[C, I]):
    """No draw may be of a token of probability 0, and the others must follow the law.

    Tested on the draws of sure tokens, given that they are sure: so it matters not which unsure ones an
    implementation keeps. Chi-square over cells of at least 5 expected draws; and, for draws however few, the sum of
    their log-likelihoods against Chernoff's bound, P(sum >= s) <= E[exp(t · sum)] / exp(t · s) for every t > 0, and
    for t < 0 the other way, which holds for any number of them. Each at a p-value of 1e-9. Of chi-square that is
    its limit's; with cells of five draws the true one may be a thousand times larger. Draws of a row, and draws of
    two rows, agree as often as independent ones do (see `independence`). Equal rows by equal numbers draw the same.
    """

    law: Callable[[C, I], Law]
    probes: tuple[Probe[Any, Any], ...]

    def expect(self, case: C, inputs: I) -> DistributionExpectation:
        """The law of one set of inputs, and the probes that it accepts."""
        law = self.law(case, inputs)
        judged = DistributionExpectation.of(law)
        applying = [probe for probe in self.probes if probe.applies(case)]
        blunt = [p.name for p in applying if judged.accepts(p.outputs(case, inputs, law, (law.tokens,))[0])]
        return replace(judged, probes=tuple(p.name for p in applying), blunt=tuple(blunt))


def _furthest_off(count: Tensor, expected: Tensor, total: Tensor) -> float:
    """The largest n KL(count / n, p) of tokens that may be drawn, for counts of `total` draws and their shares."""
    share = count / total.clamp_min(1.0)
    rest = (1 - expected).clamp_min(RARE)
    apart = torch.xlogy(share, share / expected.clamp_min(RARE)) + torch.xlogy(1 - share, (1 - share) / rest)
    return float((total * apart.masked_fill(expected <= 0, 0.0)).max())


FORBIDDEN = "a token that the distribution forbids"


@dataclass(frozen=True)
class DistributionExpectation:
    """The expectation of one set of inputs under a distribution.

    log_sure: float32 [B, V], log-probability of each token given that the draw is of a sure one; -inf for the others.
    moments: float64 [B, T], the logarithm of E[exp(t · log-probability)] for each t of TILTS. tokens: draws as they
    may be. twins, free: see `Law`.
    """

    log_sure: Tensor
    unsure: Tensor
    moments: Tensor
    tokens: Tensor
    twins: Tensor
    free: Tensor
    probes: tuple[str, ...] = ()
    blunt: tuple[str, ...] = ()

    @classmethod
    def of(cls, law: Law) -> DistributionExpectation:
        sure = law.probabilities.masked_fill(law.unsure, 0.0)
        total = sure.sum(-1, keepdim=True)
        logs = (sure / torch.where(total > 0, total, 1.0)).log()
        there = logs > -math.inf
        moments = [torch.where(there, (1 + t) * logs, -math.inf).logsumexp(-1) for t in TILTS]
        twins = torch.full_like(law.tokens, -1) if law.twins is None else law.twins
        free = torch.ones_like(twins, dtype=torch.bool) if law.free is None else law.free
        return cls(logs.float(), law.unsure, torch.stack(moments, -1), law.tokens, twins, free)

    @property
    def expected(self) -> tuple[Tensor, ...]:
        return (self.tokens,)

    def judge(self, outputs: Sequence[Tensor]) -> list[Deviation]:
        (tokens,) = outputs
        vocab = self.log_sure.shape[-1]
        real = (tokens >= 0) & (tokens < vocab)
        place = torch.where(real, tokens, 0)
        logs = self.log_sure.gather(-1, place)
        sure = real & (logs > -math.inf)
        forbidden = float(self._forbidden(tokens).sum())
        twin = (self.twins >= 0) & sure & sure.gather(0, self.twins.clamp_min(0))
        apart = float((twin & (place != place.gather(0, self.twins.clamp_min(0)))).sum())
        may_be_apart = NO_DRAW + TWINS_APART * float(twin.sum())
        sure = sure & self.free
        return [
            Deviation("forbidden tokens", forbidden, NO_DRAW),
            Deviation("draws by chi-square", self._chi_square(place, sure), 1.0, OVER_ALLOWED),
            Deviation("draws by likelihood", self._surprise(logs, sure) / SURPRISE, 1.0, OVER_ALLOWED),
            Deviation(ALONE, self._alone(place, sure) / SURPRISE, 1.0, OVER_ALLOWED),
            Deviation(AGREEMENT, self._agreement(place, sure) / SURPRISE, 1.0, OVER_ALLOWED),
            Deviation(TWINS, apart, may_be_apart),
        ]

    def wrong(self, outputs: Sequence[Tensor]) -> Wrong | None:
        """The first token that may not be drawn; None where draws are wrong on the whole alone."""
        (tokens,) = outputs
        off = self._forbidden(tokens)
        return replace(row_of("tokens", tokens, None, off), what=FORBIDDEN) if bool(off.any()) else None

    def _forbidden(self, tokens: Tensor) -> Tensor:
        real = (tokens >= 0) & (tokens < self.log_sure.shape[-1])
        place = torch.where(real, tokens, 0)
        may_be = (self.log_sure.gather(-1, place) > -math.inf) | self.unsure.gather(-1, place)
        return ~(real & may_be)

    def accepts(self, tokens: Tensor) -> bool:
        return all(figure.within for figure in self.judge((tokens,)))

    def _alone(self, tokens: Tensor, sure: Tensor) -> float:
        """The same of how often one token was drawn, less what the choice among all tokens makes likely.

        Tokens at an edge of a truncation are drawn some dozens of times, or never where one was cut off that should not
        be: n KL(count / n, p), which is Chernoff's bound, for the one that is furthest off. Tokens of one rank, counted
        from the most and from the least probable, are taken together over all rows too: p is then their mean.
        """
        expected = self.log_sure.double().exp()
        count = torch.zeros_like(expected).scatter_add_(-1, tokens, sure.double())
        total, present = sure.sum(-1, keepdim=True).double(), expected > 0
        furthest = _furthest_off(count, expected, total)
        for ranked in (-expected, expected.masked_fill(~present, math.inf)):
            order = ranked.argsort(dim=-1, stable=True)
            mean = (total * expected.gather(-1, order)).sum(0) / total.sum().clamp_min(1.0)
            furthest = max(furthest, _furthest_off(count.gather(-1, order).sum(0), mean, total.sum()))
        return max(0.0, furthest - math.log(float(present.sum().clamp_min(1)) + 2 * expected.shape[-1]))

    def _agreement(self, tokens: Tensor, sure: Tensor) -> float:
        """How improbable it is at most that draws agree so often or so seldom, as a negative logarithm."""
        return independence.surprise(tokens, sure, self.log_sure.exp())

    def _surprise(self, logs: Tensor, sure: Tensor) -> float:
        """How improbable so large or so small a likelihood is at most, as a negative logarithm."""
        likelihood = float(logs[sure].double().sum())
        moments = sure.sum(-1).double() @ self.moments.masked_fill(self.moments == -math.inf, 0.0)
        tilts = torch.tensor(TILTS, dtype=torch.float64, device=moments.device)
        return float((tilts * likelihood - moments).max().clamp_min(0.0))

    def _chi_square(self, tokens: Tensor, sure: Tensor) -> float:
        """The statistic over its critical value; 0 where no row has two cells."""
        from scipy import stats  # takes most of a second, which workers of other operators should not pay

        probabilities = self.log_sure.double().exp()
        counts = torch.zeros_like(probabilities).scatter_add_(-1, tokens, sure.double())
        expected = probabilities * counts.sum(-1, keepdim=True)
        alone = expected >= LEAST_EXPECTED
        rest = expected.masked_fill(alone, 0.0).sum(-1, keepdim=True), counts.masked_fill(alone, 0.0).sum(-1, True)
        thin = rest[0] < LEAST_EXPECTED  # too few for a cell of their own: with the most probable token
        first = expected.argmax(-1, keepdim=True)
        expected.scatter_add_(-1, first, rest[0] * thin)
        counts.scatter_add_(-1, first, rest[1] * thin)
        terms = torch.where(alone, (counts - expected).square() / expected.clamp_min(LEAST_EXPECTED), 0.0).sum(-1)
        terms += ((rest[1] - rest[0]).square() / rest[0].clamp_min(LEAST_EXPECTED) * ~thin).squeeze(-1)
        cells = alone.sum(-1) + ~thin.squeeze(-1)
        freedom = int((cells - 1).clamp_min(0).sum())
        if freedom == 0:
            return 0.0
        return float(terms[cells > 1].sum()) / float(stats.chi2.isf(P_VALUE, freedom))
