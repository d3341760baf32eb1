"""Verdicts on a family of comparisons from live pairs: slower, faster, same or inconclusive."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from attnlab.bench.stats.family import holm, true_nulls
from attnlab.bench.stats.paired import intervals, p_above, p_below, walsh_averages
from attnlab.bench.stats.sequential import Looks

Key = TypeVar("Key")

ALPHA = 0.05  # of any false verdict in the whole family
TARGET = 0.03
UNSEEN = 2.0  # targets: what an inconclusive's interval reaches past must not be let through
MOST_PAIRS = 4  # times the planned pairs: where raising them ends
SUSPICIOUS = 0.05  # one-sided, of one comparison: what is looked into on fresh pairs
FEW = 1 / 3  # a slowdown of so large a share of head's processes is not called `same`
FEW_CONFIDENCE = 0.95


class Verdict(Enum):
    """What a comparison of two revisions says."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"
    INCOMPARABLE = "incomparable"


@dataclass(frozen=True)
class LogRatios:
    """One comparison's log-ratios of head over base, one a pair, with what they are measured against.

    base: the usual value on base, in the quantity's unit. floor: changes below it, in that unit, are nothing.
    target: the least slowdown that must be stopped, as a share.
    """

    log_ratios: tuple[float, ...]
    base: float
    target: float = TARGET
    floor: float = 0.0

    @property
    def estimate(self) -> float:
        """The median log-ratio."""
        return float(np.median(self.log_ratios)) if self.log_ratios else math.nan

    @property
    def reach(self) -> float:
        """The target as a log-ratio."""
        return math.log1p(self.target)


@dataclass(frozen=True)
class Judgement:
    """A verdict, the estimate and its interval as ratios of time, head over base.

    suspect: what fresh pairs might show it to be, where this comparison alone looks like it; no verdict by itself.
    """

    verdict: Verdict
    ratio: float
    low: float
    high: float
    pairs: int
    suspect: Verdict | None = None


@dataclass(frozen=True)
class Rule:
    """How a family is judged: at which numbers of pairs, with what chance of any false verdict in it.

    unseen: an inconclusive whose interval reaches past so many times its target must not be let through; pairs are
    raised for it up to `most_pairs`, None for four times the planned ones.

    Of alpha, a tenth goes to each of the three verdicts on fresh pairs, a quarter to each of `faster` and `same` at
    the planned looks, and a tenth to each of these two at the looks beyond.
    """

    looks: Looks = field(default_factory=Looks)
    alpha: float = ALPHA
    unseen: float = UNSEEN
    most_pairs: int | None = None

    @property
    def fresh(self) -> float:
        """The chance of any false `slower`."""
        return 0.1 * self.alpha

    @property
    def planned(self) -> float:
        return 0.25 * self.alpha

    @property
    def beyond(self) -> float:
        return 0.1 * self.alpha

    @property
    def most(self) -> int:
        """Where raising the pairs of a comparison ends."""
        return max(self.looks.last, MOST_PAIRS * self.looks.last if self.most_pairs is None else self.most_pairs)

    @property
    def looks_beyond(self) -> tuple[int, ...]:
        """At half as many pairs more, at twice, three times and four times as many, up to the most."""
        last = self.looks.last
        found = (look for look in (last + last // 2, 2 * last, 3 * last, 4 * last) if last < look < self.most)
        return (*found, self.most) if self.most > last else ()

    def share(self, look: int) -> float:
        """Of what fresh pairs may spend, the share of those that follow this look; two thirds go to planned looks."""
        if look in self.looks.pairs:
            return self.looks.level(look, 2 / 3 if self.looks_beyond else 1.0)
        return 1 / 3 / len(self.looks_beyond)

    def level(self, look: int) -> float:
        """What this look may spend on each of `faster` and `same`."""
        if look in self.looks.pairs:
            return self.looks.level(look, self.planned)
        return self.beyond / len(self.looks_beyond)


def judge(
    family: Mapping[Key, LogRatios], pairs: int, rule: Rule, members: int | None = None, unlike: int = 0
) -> dict[Key, Judgement]:
    """Verdicts at the look with that many pairs; see `judge_at`."""
    return judge_at(family, rule.level(pairs), members, unlike)


def judge_at(
    family: Mapping[Key, LogRatios], level: float, members: int | None = None, unlike: int = 0
) -> dict[Key, Judgement]:
    """Verdicts at a level, for each of the three the chance of any false one among `members` (the family's number).

    `slower` and `faster` are adjusted by Holm's step-down. `same` is a test of equivalence adjusted for as many
    comparisons as may be outside their target, by an estimate that counts `unlike` comparisons, which are not of this
    family any more, among them. Besides, no more pairs may be slower by the target than a third of head's processes
    would make them, and nothing suspicious is `same`. The interval is of the comparison alone, at the level.
    """
    count = len(family) if members is None else members
    tests = [_Tests(keys, [family[key] for key in keys], level) for keys in _by_length(family)]
    worse = _rejected([(key, p) for t in tests for key, p in zip(t.keys, t.worse, strict=True)], level, count)
    better = _rejected([(key, p) for t in tests for key, p in zip(t.keys, t.better, strict=True)], level, count)
    unlikes = [*(float(p) for t in tests for p in t.unlike), *[1.0] * unlike]
    alike = level / max(1.0, true_nulls(unlikes, count))
    found: dict[Key, Judgement] = {}
    for test in tests:
        found |= test.judged(worse, better, alike)
    return {key: found[key] for key in family}


def _by_length(family: Mapping[Key, LogRatios]) -> list[list[Key]]:
    found: dict[int, list[Key]] = {}
    for key, compared in family.items():
        found.setdefault(len(compared.log_ratios), []).append(key)
    return list(found.values())


def _rejected(p_values: Sequence[tuple[Key, float]], level: float, members: int) -> set[Key]:
    """What Holm's step-down rejects in a family of `members`, of which only these are looked at now."""
    adjusted = holm([p for _, p in p_values], members)
    return {key for (key, _), p in zip(p_values, adjusted, strict=True) if p <= level}


class _Tests(Generic[Key]):
    """All tests of comparisons with the same number of pairs, at once."""

    def __init__(self, keys: Sequence[Key], compared: Sequence[LogRatios], level: float) -> None:
        self.keys, self._compared = keys, compared
        ratios = np.asarray([c.log_ratios for c in compared], dtype=np.float64)
        self._pairs = pairs = ratios.shape[1]
        self._reach = np.asarray([c.reach for c in compared])
        walsh = walsh_averages(ratios)
        self.worse = p_above(walsh, pairs, 0.0)
        self.better = p_below(walsh, pairs, 0.0)
        self.unlike = np.maximum(p_below(walsh, pairs, self._reach), p_above(walsh, pairs, -self._reach))
        self._low, self._high = intervals(walsh, pairs, level)
        self._estimate: NDArray[np.float64] = np.median(ratios, axis=1) if pairs else np.full(len(keys), math.nan)
        beyond = np.count_nonzero(ratios >= self._reach[:, None], axis=1)
        self._few = beyond <= most_beyond(pairs)

    def judged(self, worse: set[Key], better: set[Key], alike: float) -> dict[Key, Judgement]:
        return {key: self._one(n, key in worse, key in better, alike) for n, key in enumerate(self.keys)}

    def _one(self, n: int, worse: bool, better: bool, alike: float) -> Judgement:
        c, estimate, reach = self._compared[n], float(self._estimate[n]), float(self._reach[n])
        told = abs(_expm1(estimate)) * c.base > c.floor
        slower, faster = told and estimate > reach / 2, told and estimate < -reach / 2
        suspect = None
        if slower and self.worse[n] <= SUSPICIOUS:
            suspect = Verdict.SLOWER
        elif faster and self.better[n] <= SUSPICIOUS:
            suspect = Verdict.FASTER
        if slower and worse:
            verdict = Verdict.SLOWER
        elif faster and better:
            verdict = Verdict.FASTER
        else:
            same = suspect is None and self.unlike[n] <= alike and bool(self._few[n])
            verdict = Verdict.SAME if same else Verdict.INCONCLUSIVE
        low, high = math.exp(float(self._low[n])), _exp(float(self._high[n]))
        return Judgement(verdict, _exp(estimate), low, high, self._pairs, suspect)


@functools.cache
def most_beyond(pairs: int) -> int:
    """The most pairs slower by the target that leave at most 5 % chance to a third of head's processes being so.

    -1 where there are too few pairs to say (the upper bound of Clopper and Pearson 1934).
    """
    from scipy import stats  # takes most of a second, which only those who judge should pay

    return int(stats.binom.ppf(1 - FEW_CONFIDENCE, pairs, FEW)) - 1


def unsure(judged: Judgement) -> Judgement:
    """The same figures without a verdict."""
    return replace(judged, verdict=Verdict.INCONCLUSIVE)


def _exp(x: float) -> float:
    return math.inf if x > 700 else math.exp(x)


def _expm1(x: float) -> float:
    return math.inf if x > 700 else math.expm1(x)


def geometric_mean(members: Sequence[LogRatios]) -> LogRatios:
    """One comparison of a group: in each pair the mean of its members' log-ratios.

    A slowdown of the whole group shows in far fewer pairs than its members' noise would leave room for.
    """
    ratios = np.mean([c.log_ratios for c in members], axis=0)
    return LogRatios(
        tuple(float(x) for x in ratios),
        math.exp(float(np.mean([math.log(c.base) if c.base > 0 else 0.0 for c in members]))),
        min(c.target for c in members),
        max(c.floor for c in members),
    )
