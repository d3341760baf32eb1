"""The median of samples from one process and its confidence interval, adjusted for autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

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
    actual one over 1 + 2 Σ ρ, with the autocorrelations ρ of ranks summed until they first turn
    negative (Geyer's initial positive sequence). Raises ValueError where there are no samples.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        raise ValueError("got no samples; expected at least one")
    effective = effective_samples(x)
    low, high = _interval(np.sort(x), effective, confidence)
    return Summary(float(np.median(x)), low, high, int(x.size), effective)


def _interval(ordered: NDArray[np.float64], effective: float, confidence: float) -> tuple[float, float]:
    n = ordered.size
    if effective < MIN_SAMPLES:
        return float("-inf"), float("inf")
    tail = float(stats.binom.ppf((1 - confidence) / 2, round(effective), 0.5)) / round(effective)
    below = max(0, int(np.floor(tail * n)) - 1)
    return float(ordered[below]), float(ordered[n - 1 - below])


def effective_samples(x: NDArray[np.float64]) -> float:
    """How many independent samples a series of correlated ones is worth, from 1 to its length."""
    n = x.size
    ranks = stats.rankdata(x)
    centred = ranks - ranks.mean()
    variance = float(centred @ centred)
    if n < 4 or variance == 0:
        return float(n)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    correlation = np.fft.irfft(spectrum)[:n] / variance
    pairs = correlation[1 : n - (n - 1) % 2].reshape(-1, 2).sum(1)
    ends = np.flatnonzero(pairs < 0)
    total = float(pairs[: ends[0]].sum()) if ends.size else float(pairs.sum())
    return float(np.clip(n / (1 + 2 * total), 1, n))
