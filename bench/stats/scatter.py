"""How much values scatter, with an interval that holds for few of them and for tails that are not normal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

LEAST = 5  # values


def deviation(values: Sequence[float]) -> float:
    """The standard deviation."""
    return float(np.std(np.asarray(values, dtype=np.float64), ddof=1))


def deviation_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Of the standard deviation: normal on the logarithm of the variance, its error from the kurtosis (Bonett 2006).

    The kurtosis is about a trimmed mean, so that one far value does not hide itself; the quantile is Student's with
    one degree of freedom less than there are values. From zero to infinity with fewer than five values, or with
    values that are all the same.
    """
    x = np.asarray(values, dtype=np.float64)
    n = x.size
    squares = float(np.sum((x - x.mean()) ** 2)) if n else 0.0
    if n < LEAST or squares == 0:
        return 0.0, math.inf
    quantile = float(stats.t.ppf((1 + confidence) / 2, n - 1))
    centre = float(stats.trim_mean(x, 1 / (2 * math.sqrt(n - 4))))
    kurtosis = n * float(np.sum((x - centre) ** 4)) / squares**2
    error = math.sqrt(max(kurtosis - (n - 3) / n, 0.0) / (n - 1))
    scale = n / max(n - quantile, 1.0)
    middle = math.log(scale * squares / (n - 1))
    spread = quantile * scale * error
    return math.exp((middle - spread) / 2), math.exp((middle + spread) / 2)
