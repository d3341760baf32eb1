"""Ratios of two things that took turns, from the figures of each round; both are of one process each."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench.stats.paired import signed_rank_interval

TAIL = 0.025  # of the 95 % interval, on each side


@dataclass(frozen=True)
class RoundFigure:
    """A figure that was taken at a time, in seconds; above zero."""

    started_s: float
    value: float


@dataclass(frozen=True)
class Ratio:
    """The median over rounds of base / head, above 1 where head is smaller, with its 95 % interval.

    low, high: None with so few rounds (fewer than six) that none can be given.
    """

    median: float
    low: float | None
    high: float | None
    rounds: int


@dataclass(frozen=True)
class Difference:
    """The median over rounds of head less base, with its 95 % interval, in the figures' unit.

    low, high: None with so few rounds (fewer than six) that none can be given.
    """

    median: float
    low: float | None
    high: float | None
    rounds: int


def took_turns(base: Sequence[RoundFigure], head: Sequence[RoundFigure]) -> bool:
    """Whether every round of one lies between the rounds before and after of the other."""
    if len(base) != len(head) or not base:
        return False
    pairs = [(min(a.started_s, b.started_s), max(a.started_s, b.started_s)) for a, b in zip(base, head, strict=True)]
    return all(before[1] < after[0] for before, after in itertools.pairwise(pairs))


def ratio(base: Sequence[RoundFigure], head: Sequence[RoundFigure]) -> Ratio | None:
    """base over head, round by round; None where they did not take turns, or a figure is not above zero."""
    if not took_turns(base, head) or any(not r.value > 0 for r in (*base, *head)):
        return None
    return ratio_of([math.log(a.value / b.value) for a, b in zip(base, head, strict=True)])


def ratio_of(logs: Sequence[float]) -> Ratio:
    """The ratio with its interval, from the logarithm of each round's; raises ValueError where there is no round."""
    if not logs:
        raise ValueError("got no rounds; expected one or more")
    interval = signed_rank_interval(logs, TAIL)
    bounds = [math.exp(x) if math.isfinite(x) else None for x in (interval.low, interval.high)]
    return Ratio(math.exp(statistics.median(logs)), bounds[0], bounds[1], len(logs))


def difference(base: Sequence[RoundFigure], head: Sequence[RoundFigure]) -> Difference | None:
    """head less base, round by round; None where they did not take turns."""
    if not took_turns(base, head):
        return None
    added = [b.value - a.value for a, b in zip(base, head, strict=True)]
    interval = signed_rank_interval(added, TAIL)
    low, high = (x if math.isfinite(x) else None for x in (interval.low, interval.high))
    return Difference(statistics.median(added), low, high, len(added))
