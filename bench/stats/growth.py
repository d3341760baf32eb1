"""How a quantity grows with size: the exponent of a power law and its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attnlab.bench.stats.student import quantile

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Growth:
    """quantity ∝ size^exponent over the sizes seen; low and high bound the exponent at 95 %."""

    exponent: float
    low: float
    high: float
    points: int


def fit_growth(sizes: Sequence[float], values: Sequence[float], confidence: float = CONFIDENCE) -> Growth | None:
    """Least squares in logarithms, the interval by Student's t.

    None with under three sizes, or where a size or value has no logarithm (0, or not finite).
    """
    known = all(math.isfinite(number) and number > 0 for number in (*sizes, *values))
    if not known or len(set(sizes)) < 3:
        return None
    x, y = np.log(sizes), np.log(values)
    x, y = x - x.mean(), y - y.mean()
    slope = float(x @ y / (x @ x))
    freedom = len(sizes) - 2
    residuals = y - slope * x
    error = math.sqrt(float(residuals @ residuals) / freedom / float(x @ x))
    reach = quantile((1 + confidence) / 2, freedom) * error
    return Growth(slope, slope - reach, slope + reach, len(sizes))
