"""The median of samples from one process and its confidence interval, adjusted for autocorrelation."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
MIN_SAMPLES = 6  # fewer have no order-statistic interval of 95 %


@dataclass(frozen=True)
class Summary:
    """Median and its interval within one process, in the samples' unit.

    effective: how many independent samples they are worth; less than samples where they correlate.
    """

    median: float
    low: float
    high: float
    samples: int
    effective: float

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width over the median; infinite where there is no interval."""
        return (self.high - self.low) / 2 / self.median if self.median > 0 else float("inf")


def summarise(values: Sequence[float], confidence: float = CONFIDENCE) -> Summary:
    """The median with its order-statistic interval.

    The ranks are those of a binomial with n trials, n being the effective number of samples: the
    actual one over τ = 1 + 2 Σ ρ, with the autocorrelations ρ of ranks summed until they first turn
    negative (Geyer's initial positive sequence). Raises ValueError where there are no samples.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        raise ValueError("got no samples; expected at least one")
    effective = effective_samples(x)
    low, high = _interval(np.sort(x), effective, confidence)
    return Summary(float(np.median(x)), low, high, int(x.size), effective)


def _interval(ordered: NDArray[np.float64], effective: float, confidence: float) -> tuple[float, float]:
    n, trials = ordered.size, round(effective)
    rank = lower_rank(trials, (1 - confidence) / 2)
    if trials < MIN_SAMPLES or rank == 0:
        return float("-inf"), float("inf")
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


def effective_samples(x: NDArray[np.float64]) -> float:
    """How many independent samples a series of correlated ones is worth, from 1 to its length.

    Autocorrelations about the sample's own mean come out too low by about τ/n, τ being the sum looked
    for, so the sum is solved for with that put back. A series shorter than some tens of τ still
    passes for more than it is worth.
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
    return float(np.clip(n * share / (1 + 2 * total), 1, n))


def _ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, group, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: NDArray[np.float64] = (last - (counts - 1) / 2).astype(np.float64)
    return mean_rank[group]
