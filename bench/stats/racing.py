"""Candidates that are timed beside one reference, and which of them are hopeless: at known error rates.

Each candidate has one log-ratio a round, its burst over the reference's. Its interval is looked at a few times. Who
lies above the lowest upper end by more than the margin is out. All intervals together miss a centre with a chance of at
most alpha, whatever the looks. So the best candidate is sent away so often at most: its own interval, or that which it
was held against, has to miss. What a process's layout in memory adds to all of its bursts is none of this: the margin
is for that.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from attnlab.bench.stats.family import holm
from attnlab.bench.stats.paired import signed_rank_interval, signed_rank_p
from attnlab.bench.stats.sequential import Looks, fresh_looks

Key = TypeVar("Key")

ALPHA = 0.05
MARGIN = 0.05  # as a share of time; fresh processes of one code scatter by some percents


@dataclass(frozen=True)
class Rule:
    """How `members` candidates are raced against each other by their ratios to the reference, which is one of them."""

    members: int
    alpha: float = ALPHA
    margin: float = MARGIN

    @cached_property
    def looks(self) -> Looks:
        """At how many rounds intervals are looked at; after the last, who is left is near the best."""
        return fresh_looks(self._own)

    @property
    def rounds(self) -> int:
        return self.looks.last

    @property
    def _own(self) -> float:
        """What one end of one candidate's interval may spend over all looks."""
        return self.alpha / 2 / max(1, self.members)


class Race:
    """What is known of each candidate's time over the reference's, and who is out."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._high: dict[str, float] = {}

    @property
    def bound(self) -> float:
        """The lowest upper end of all looks so far, as a log-ratio; the reference itself is at 0."""
        return min(0.0, *self._high.values()) if self._high else 0.0

    def look(self, ratios: Mapping[str, Sequence[float]]) -> set[str]:
        """Who of these is hopeless, of as many rounds each as a look has; the others' intervals are kept."""
        lows: dict[str, float] = {}
        for name, values in ratios.items():
            interval = signed_rank_interval(values, self.rule.looks.level(len(values), self.rule._own))
            lows[name] = interval.low
            self._high[name] = min(interval.high, self._high.get(name, math.inf))
        return {name for name, low in lows.items() if low > self.bound + math.log1p(self.rule.margin)}


def shown_faster(ratios: Mapping[Key, Sequence[float]], alpha: float = ALPHA) -> set[Key]:
    """Whose log-ratios to the reference, one a round of fresh processes, show it to be faster; any falsely at alpha."""
    p_values = [signed_rank_p([-value for value in values]) for values in ratios.values()]
    return {key for key, p in zip(ratios, holm(p_values), strict=True) if p <= alpha}


def best_of(ratios: Mapping[Key, Sequence[float]], among: set[Key]) -> Key | None:
    """The least median of these; None where there are none."""
    return min(among, key=lambda key: statistics.median(ratios[key]), default=None)
