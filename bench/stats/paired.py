"""Paired comparison: exact signed-rank tests and intervals on one log-ratio a pair of processes.

Where both arms of a pair run the same code, exchanging them changes the sign of the pair's log-ratio and
nothing else, so that log-ratios are symmetric about zero. The signed-rank test needs no more than that
symmetry, whatever the tails: its level is exact for any number of pairs, and n pairs never give a
p-value under 2⁻ⁿ.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Interval:
    """Bounds of a log-ratio; infinite where so few pairs give none at the level asked for."""

    low: float
    high: float

    def within(self, reach: float) -> bool:
        """Whether the whole interval lies nearer to zero than `reach`."""
        return -reach < self.low and self.high < reach


def log_ratio(base_ns: Sequence[float], head_ns: Sequence[float]) -> float:
    """The median of log(head / base) over bursts that alternated, one value an arm and burst.

    Raises ValueError where there are none, where the arms differ in number, or a time is not above zero.
    """
    base, head = np.asarray(base_ns, dtype=np.float64), np.asarray(head_ns, dtype=np.float64)
    if base.size == 0 or base.shape != head.shape:
        raise ValueError(f"got {base.size} bursts of base and {head.size} of head; expected as many, one or more")
    if not (np.all(base > 0) and np.all(head > 0)):
        raise ValueError("got a time that is not above zero; expected nanoseconds")
    return float(np.median(np.log(head / base)))


def walsh_averages(values: ArrayLike) -> NDArray[np.float64]:
    """The means of all pairs of values along the last axis, each with itself included, in ascending order."""
    x = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(x.shape[-1])
    return np.sort((x[..., first] + x[..., second]) / 2, axis=-1)


def signed_rank_interval(values: Sequence[float], tail: float) -> Interval:
    """The interval of the centre of symmetry, missing it on each side with a chance of at most `tail`.

    Its ends are order statistics of the Walsh averages (Hodges and Lehmann 1963).
    """
    low, high = intervals(walsh_averages([values]), len(values), tail)
    return Interval(float(low[0]), float(high[0]))


def intervals(walsh: NDArray[np.float64], pairs: int, tail: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends for rows of ordered Walsh averages of so many pairs each; infinite where there are none."""
    rank = critical_rank(pairs, tail)
    if rank == 0:
        return np.full(len(walsh), -math.inf), np.full(len(walsh), math.inf)
    return walsh[:, rank - 1], walsh[:, -rank]


def signed_rank_p(values: Sequence[float]) -> float:
    """One-sided p-value against a centre of zero or less; a Walsh average of exactly zero speaks for zero."""
    return float(p_above(walsh_averages([values]), len(values), 0.0)[0]) if len(values) else 1.0


def p_above(walsh: NDArray[np.float64], pairs: int, centre: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """For rows of ordered Walsh averages of so many pairs each: one-sided p-values against this centre or less."""
    against: NDArray[np.intp] = np.count_nonzero(walsh <= np.reshape(centre, (-1, 1)), axis=1)
    return np.take(_at_most(pairs), against)


def p_below(walsh: NDArray[np.float64], pairs: int, centre: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Likewise against this centre or more."""
    against: NDArray[np.intp] = np.count_nonzero(walsh >= np.reshape(centre, (-1, 1)), axis=1)
    return np.take(_at_most(pairs), against)


def critical_rank(pairs: int, tail: float) -> int:
    """The largest k with P(fewer than k Walsh averages on one side of the centre) ≤ tail; 0 where there is none."""
    return int(np.searchsorted(_at_most(pairs), tail, side="right"))


@functools.cache
def _at_most(pairs: int) -> NDArray[np.float64]:
    """P(W ≤ w) for w = 0 … n(n+1)/2 of the signed-rank statistic: each rank counts with chance one half."""
    chance = np.ones(1)
    for rank in range(1, pairs + 1):
        longer = np.zeros(chance.size + rank)
        longer[: chance.size] += chance / 2
        longer[rank:] += chance / 2
        chance = longer
    return np.minimum(np.cumsum(chance), 1.0)
