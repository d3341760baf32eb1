"""Resampling in blocks, which keeps what neighbouring samples share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.float64]], float]


def block_length(size: int) -> int:
    """The cube root of the number of samples: the order that makes a block bootstrap's error least."""
    return max(1, round(math.cbrt(size)))


def block_indices(size: int, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """`count` indices into `size` samples, in circular blocks of consecutive ones (Politis and Romano 1992)."""
    length = block_length(size)
    starts = random.integers(0, size, size=-(-count // length))
    spread = (starts[:, None] + np.arange(length)[None, :]) % size
    return spread.reshape(-1)[:count]


def bootstrap_interval(
    values: Sequence[float], statistic: Statistic, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of any statistic of a series that may be autocorrelated.

    Raises ValueError with fewer than two samples.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        raise ValueError(f"got {x.size} samples; expected two or more")
    random = np.random.default_rng(seed)
    found = [statistic(x[block_indices(x.size, x.size, random)]) for _ in range(resamples)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)
