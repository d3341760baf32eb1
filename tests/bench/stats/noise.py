"""Noise as benchmarks show it, for simulations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def normal(random: np.random.Generator, size: int) -> Floats:
    return random.standard_normal(size)


def heavy_tailed(random: np.random.Generator, size: int) -> Floats:
    """Student's t with 2 degrees of freedom: its variance is infinite."""
    return random.standard_t(2, size)


def spikes(random: np.random.Generator, size: int) -> Floats:
    """Now and then one ten times as large."""
    return random.standard_normal(size) * np.where(random.random(size) < 0.1, 10.0, 1.0)


def correlated(random: np.random.Generator, size: int, rho: float = 0.5) -> Floats:
    """An autoregressive series of unit variance."""
    steps = random.standard_normal(size) * np.sqrt(1 - rho * rho)
    out = np.empty(size)
    out[0] = random.standard_normal()
    for n in range(1, size):
        out[n] = rho * out[n - 1] + steps[n]
    return out
