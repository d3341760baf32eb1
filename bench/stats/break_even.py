"""From which length one of two costs is the smaller: straight lines, with what is known of where they cross."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from attnlab.bench.stats.student import quantile


@dataclass(frozen=True)
class CostLine:
    """cost = intercept + slope · length, with intervals (low, high) of both."""

    intercept: float
    slope: float
    intercept_interval: tuple[float, float]
    slope_interval: tuple[float, float]


class Pays(StrEnum):
    """Where another pays against the plain one."""

    ALWAYS = "always"
    FROM = "from"
    NEVER = "never"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class BreakEven:
    """From which length on the other costs less. length, low and high are given for `from` only; high may be inf."""

    pays: Pays
    length: float | None = None
    low: float | None = None
    high: float | None = None


def fit_line(lengths: Sequence[float], costs: Sequence[float], confidence: float = 0.95) -> CostLine:
    """Least squares of relative residuals, for costs scatter by a share of themselves; at least three lengths.

    Intervals are Student's, of the residuals. Raises ValueError on fewer lengths, or costs that are not above zero.
    """
    x, y = np.asarray(lengths, float), np.asarray(costs, float)
    if len(x) < 3 or len(set(lengths)) < 3 or not (y > 0).all():
        raise ValueError(
            f"got costs {list(costs)} at lengths {list(lengths)}; expected three lengths or more, costs above 0"
        )
    estimate, covariance = _weighted(x, y, 1 / y)
    reach = quantile(0.5 + confidence / 2, len(x) - 2) * np.sqrt(np.diag(covariance))
    intercept, slope = ((float(e - r), float(e + r)) for e, r in zip(estimate, reach, strict=True))
    return CostLine(float(estimate[0]), float(estimate[1]), intercept, slope)


def break_even(
    lengths: Sequence[float], plain: Sequence[float], other: Sequence[float], confidence: float = 0.95
) -> BreakEven:
    """Where `other` begins to cost less than `plain`, both measured at the same lengths.

    A line is fitted to the difference. Its crossing of zero has Fieller's interval: the lengths at which the line's own
    interval holds zero. Only what lies within four times the longest length is called a crossing; beyond it, or where
    the difference never leaves its interval, nothing is known.
    """
    x, a, b = (np.asarray(values, float) for values in (lengths, plain, other))
    if len(x) < 3 or len(set(lengths)) < 3 or not (len(x) == len(a) == len(b)):
        raise ValueError(
            f"got {len(x)} lengths, {len(a)} and {len(b)} costs; expected three lengths or more, as many costs"
        )
    estimate, covariance = _weighted(x, b - a, 1 / a)
    reach = quantile(0.5 + confidence / 2, len(x) - 2)
    grid = np.linspace(0.0, 4 * x.max(), 4001)
    design = np.stack([np.ones_like(grid), grid])
    middle = estimate @ design
    spread = reach * np.sqrt(np.einsum("ig,ij,jg->g", design, covariance, design))
    less, more = middle + spread < 0, middle - spread > 0
    within = (grid >= x.min()) & (grid <= x.max())
    if less[within].all():
        return BreakEven(Pays.ALWAYS)
    if more[within].all() and not less.any():
        return BreakEven(Pays.NEVER)
    crossing = -estimate[0] / estimate[1] if estimate[1] < 0 else math.nan
    if not (0 < crossing <= grid[-1]) or not less.any():
        return BreakEven(Pays.UNKNOWN)
    sure = float(grid[less].min())
    before = grid[more & (grid < crossing)]
    return BreakEven(Pays.FROM, float(crossing), float(before.max()) if len(before) else 0.0, sure)


def _weighted(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate and covariance of (intercept, slope); weights multiply the residuals."""
    design = np.stack([np.ones_like(x), x], axis=1) * weights[:, None]
    estimate, *_ = np.linalg.lstsq(design, y * weights, rcond=None)
    residuals = y * weights - design @ estimate
    variance = float(residuals @ residuals) / (len(x) - 2)
    return estimate, variance * np.linalg.inv(design.T @ design)
