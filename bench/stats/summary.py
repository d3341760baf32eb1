"""The median of samples from one process and its confidence interval, adjusted for autocorrelation."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
MIN_EFFECTIVE = 30  # fewer say too little of their own autocorrelation for an interval to be claimed
APART = 1.5  # widths of the interval between the medians of both halves: three standard errors of their difference
NEAR = 0.01  # of the median: halves as near as this agree, however fine the interval is


@dataclass(frozen=True)
class Summary:
    """Median and its interval within one process, in the samples' unit; infinite bounds where none is claimed.

    effective: how many independent samples they are worth; less than samples where they correlate. unclaimed: why no
    interval is claimed, where that is so; figures stand in brackets at its end.
    """

    median: float
    low: float
    high: float
    samples: int
    effective: float
    unclaimed: str | None = None

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width over the median; infinite where there is no interval."""
        return (self.high - self.low) / 2 / self.median if self.median > 0 else float("inf")


def summarise(values: Sequence[float], confidence: float = CONFIDENCE) -> Summary:
    """The median with its order-statistic interval, widened to hold the medians of both halves of the series.

    The ranks are those of a binomial with n trials, n being the effective number of samples. None is claimed with fewer
    than `MIN_EFFECTIVE` of these, nor where the halves are far apart: a level that moves is known by no interval.
    Raises ValueError where there are no samples.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        raise ValueError("got no samples; expected at least one")
    effective, median = effective_samples(x), float(np.median(x))
    if effective < MIN_EFFECTIVE:
        why = f"too few samples are independent (worth {math.floor(effective)}, and {MIN_EFFECTIVE} are needed)"
        return Summary(median, -math.inf, math.inf, int(x.size), effective, why)
    low, high = order_interval(np.sort(x), effective, confidence)
    halves = [float(np.median(half)) for half in np.array_split(x, 2)]
    apart = abs(halves[0] - halves[1])
    if apart > max(APART * (high - low), NEAR * abs(median)):
        change = halves[1] / halves[0] - 1 if halves[0] else math.inf
        why = f"the level moved meanwhile (the median of the second half is {change:+.1%} off that of the first)"
        return Summary(median, -math.inf, math.inf, int(x.size), effective, why)
    return Summary(median, min(low, *halves), max(high, *halves), int(x.size), effective)


def order_interval(ordered: NDArray[np.float64], effective: float, confidence: float) -> tuple[float, float]:
    """The median's bounds among samples in ascending order that are worth so many, at least six, independent ones."""
    n, trials = ordered.size, math.floor(effective)
    rank = lower_rank(trials, (1 - confidence) / 2)
    below = max(0, rank * n // trials - 1)
    return float(ordered[below]), float(ordered[n - 1 - below])


@functools.lru_cache(maxsize=4096)
def lower_rank(trials: int, tail: float) -> int:
    """The largest k for which fewer than k of n fair coins show heads with a chance of at most `tail`.

    The k-th smallest of n independent samples is then a lower bound of their median; 0 where there is none.
    """
    start = max(0, math.floor(trials / 2 - 6 * math.sqrt(trials)))  # below lies under 1e-30 of the chance
    log_choices = math.lgamma(trials + 1) - math.lgamma(start + 1) - math.lgamma(trials - start + 1)
    chance = math.exp(log_choices - trials * math.log(2))
    total, k = 0.0, start
    while total + chance <= tail:
        total += chance
        chance *= (trials - k) / (k + 1)
        k += 1
    return k


def effective_samples(x: NDArray[np.float64], errors: float = 1.0) -> float:
    """How many independent samples a series of correlated ones is worth at least, from 1 to its length.

    That is n over τ = 1 + 2 Σ ρ, with the autocorrelations ρ of ranks summed until they first turn negative (Geyer's
    initial positive sequence). Autocorrelations about the sample's own mean come out too low by about τ/n, so the sum
    is solved for with that put back. Of τ, `errors` standard errors more are taken, √(2 (2 W + 1) / n) of it for W
    lags (Sokal 1997): who samples until there are enough would stop where it happens to come out small.
    """
    n = x.size
    centred = _ranks(x)
    centred -= centred.mean()
    variance = float(centred @ centred)
    if n < 4 or variance == 0:
        return float(n)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    correlation = np.fft.irfft(spectrum)[:n] / variance
    pairs = correlation[1 : n - (n - 1) % 2].reshape(-1, 2).sum(1)
    ends = np.flatnonzero(pairs < 0)
    used = int(ends[0]) if ends.size else pairs.size
    total = float(pairs[:used].sum())
    share = 1 - 2 * (2 * used - total) / n  # each of the 2 · used lags gets back τ/n of what it lacks
    error = errors * math.sqrt(2 * (4 * used + 1) / n) if used else 0.0
    return float(np.clip(n * share / (1 + 2 * total) / (1 + error), 1, n))


def _ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, group, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: NDArray[np.float64] = (last - (counts - 1) / 2).astype(np.float64)
    return mean_rank[group]
