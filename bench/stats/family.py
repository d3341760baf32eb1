"""Many comparisons at once: Holm's step-down for gates, Benjamini and Hochberg's for surveys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that any false rejection among all has at most the level's chance (Holm 1979)."""
    _check(p_values)
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that of all rejections at most the level's share is false (1995), by SciPy."""
    _check(p_values)
    return [float(value) for value in stats.false_discovery_control(p_values, method="bh")] if len(p_values) else []


def _check(p_values: Sequence[float]) -> None:
    for p in p_values:
        if not 0 <= p <= 1:
            raise ValueError(f"got a p-value of {p!r}; expected a number from 0 to 1")
