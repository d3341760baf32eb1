"""Verdicts on a family of comparisons from live pairs: slower, faster, same or inconclusive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

import numpy as np

from attnlab.bench.stats.family import holm
from attnlab.bench.stats.paired import Interval, signed_rank_interval, signed_rank_p
from attnlab.bench.stats.sequential import Looks

Key = TypeVar("Key")

ALPHA = 0.05  # both sides together, of the whole family, before a failure is confirmed
TARGET = 0.03


class Verdict(Enum):
    """What a comparison of two revisions says."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"
    INCOMPARABLE = "incomparable"


@dataclass(frozen=True)
class Compared:
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


@dataclass(frozen=True)
class Judged:
    """A verdict, the estimate and its interval as ratios of time, head over base."""

    verdict: Verdict
    ratio: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True)
class Rule:
    """How a family is judged: at which numbers of pairs, with what chance of a false `slower` or `faster`."""

    looks: Looks = field(default_factory=Looks)
    alpha: float = ALPHA

    @property
    def one_sided(self) -> float:
        return self.alpha / 2


def judge(family: Mapping[Key, Compared], pairs: int, rule: Rule, members: int | None = None) -> dict[Key, Judged]:
    """Verdicts at the look with that many pairs.

    `slower` and `faster` are adjusted for `members` comparisons (those of `family`, where not given) by
    Holm's step-down, at the level that this look may spend. The interval is of the comparison alone, at
    the look's level, and decides `same`.
    """
    level = rule.looks.level(pairs, rule.one_sided)
    count = len(family) if members is None else members
    worse = _rejected({key: signed_rank_p(c.log_ratios) for key, c in family.items()}, level, count)
    better = _rejected({key: signed_rank_p([-x for x in c.log_ratios]) for key, c in family.items()}, level, count)
    return {
        key: _judged(compared, signed_rank_interval(compared.log_ratios, level), key in worse, key in better)
        for key, compared in family.items()
    }


def _rejected(p_values: Mapping[Key, float], level: float, members: int) -> set[Key]:
    """What Holm's step-down rejects in a family of `members`, of which only these are looked at now."""
    others = [1.0] * (members - len(p_values))
    return {key for key, p in zip(p_values, holm([*p_values.values(), *others]), strict=False) if p <= level}


def verdict_of(estimate: float, interval: Interval, proved: bool, target: float = TARGET) -> Verdict:
    """The verdict on one estimated log-ratio; `proved` says that it differs from zero, adjusted for its family."""
    return _verdict(estimate, interval, math.log1p(target), proved and estimate > 0, proved and estimate < 0)


def _judged(compared: Compared, interval: Interval, worse: bool, better: bool) -> Judged:
    estimate = compared.estimate
    told = abs(math.expm1(estimate)) * compared.base > compared.floor
    verdict = _verdict(estimate, interval, math.log1p(compared.target), worse and told, better and told)
    return Judged(verdict, math.exp(estimate), math.exp(interval.low), _exp(interval.high), len(compared.log_ratios))


def _verdict(estimate: float, interval: Interval, reach: float, worse: bool, better: bool) -> Verdict:
    """In this order: what is proved and over half the target; what lies within the target; else nothing is known."""
    if worse and estimate > reach / 2:
        return Verdict.SLOWER
    if better and estimate < -reach / 2:
        return Verdict.FASTER
    return Verdict.SAME if interval.within(reach) else Verdict.INCONCLUSIVE


def _exp(x: float) -> float:
    return math.inf if x == math.inf else math.exp(x)


def geometric_means(family: Mapping[Key, Compared], groups: Mapping[Key, str]) -> dict[str, Compared]:
    """One comparison a group: in each pair the mean of its members' log-ratios.

    A slowdown of the whole group shows in far fewer pairs than a large family's adjustment leaves room for.
    """
    members: dict[str, list[Compared]] = {}
    for key, compared in family.items():
        members.setdefault(groups[key], []).append(compared)
    return {name: _mean(compared) for name, compared in members.items()}


def _mean(members: Sequence[Compared]) -> Compared:
    ratios = np.mean([c.log_ratios for c in members], axis=0)
    return Compared(
        tuple(float(x) for x in ratios),
        float(np.exp(np.mean([math.log(c.base) for c in members]))),
        min(c.target for c in members),
        0.0,
    )
