"""The median's interval: ranks against scipy, and coverage by simulation, seeded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from attnlab.bench.stats.summary import MIN_SAMPLES, effective_samples, lower_rank, summarise

TRIALS = 600
ERROR = 3 * math.sqrt(0.95 * 0.05 / TRIALS)  # three standard errors of a coverage of 95 %


def correlated(rng: np.random.Generator, n: int, rho: float) -> NDArray[np.float64]:
    """Series of AR(1) about 10, one a row; the median of their distribution is 10."""
    warm = 200
    noise = rng.standard_normal((TRIALS, n + warm))
    x = np.zeros_like(noise)
    for t in range(1, n + warm):
        x[:, t] = rho * x[:, t - 1] + noise[:, t]
    return 10 + x[:, warm:]


def coverage(series: NDArray[np.float64], truth: float) -> float:
    found = [summarise(row) for row in series]
    return sum(s.low <= truth <= s.high for s in found) / len(found)


@pytest.mark.parametrize("n", [6, 10, 35, 200, 2000])
@pytest.mark.parametrize("kind", ["normal", "heavy", "skewed"])
def test_independent_samples_are_covered(n: int, kind: str) -> None:
    rng = np.random.default_rng(n)
    if kind == "normal":
        series, truth = 10 + rng.standard_normal((TRIALS, n)), 10.0
    elif kind == "heavy":
        series, truth = np.abs(rng.standard_cauchy((TRIALS, n))), 1.0
    else:
        series, truth = rng.lognormal(0.0, 1.5, (TRIALS, n)), 1.0
    assert coverage(series, truth) > 0.95 - ERROR


@pytest.mark.parametrize(("n", "rho"), [(50, 0.3), (100, 0.5), (300, 0.8), (1000, 0.9), (200, -0.5)])
def test_correlated_samples_are_covered(n: int, rho: float) -> None:
    assert coverage(correlated(np.random.default_rng(n), n, rho), 10.0) > 0.95 - ERROR


def test_the_adjustment_is_what_covers_them() -> None:
    """Without it the interval of a correlated series would be far too narrow, and this test could not fail."""
    series = correlated(np.random.default_rng(1), 1000, 0.9)
    rank = lower_rank(1000, 0.025)
    ordered = np.sort(series)
    naive = np.mean((ordered[:, rank - 1] <= 10) & (ordered[:, 1000 - rank] >= 10))
    assert naive < 0.6


def test_the_interval_of_independent_samples_is_not_needlessly_wide() -> None:
    rng = np.random.default_rng(3)
    half_widths = [summarise(10 + rng.standard_normal(400)).relative_half_width for _ in range(200)]
    exact = 1.96 * 1.2533 / math.sqrt(400) / 10  # the standard error of a normal sample's median
    assert exact * 0.9 < float(np.mean(half_widths)) < exact * 1.25


@pytest.mark.parametrize("n", [*range(1, 64), 100, 999, 5000, 20_000])
def test_ranks_are_those_of_the_binomial(n: int) -> None:
    rank = lower_rank(n, 0.025)
    assert stats.binom.cdf(rank - 1, n, 0.5) <= 0.025 + 1e-12
    assert stats.binom.cdf(rank, n, 0.5) > 0.025 - 1e-12


def test_a_textbook_interval() -> None:
    """Ten samples: the second and the ninth bound the median with 97.9 %."""
    shuffled = [3.0, 9.0, 1.0, 7.0, 5.0, 10.0, 2.0, 8.0, 4.0, 6.0]
    found = summarise(shuffled)
    assert (found.median, found.low, found.high, found.samples) == (5.5, 2.0, 9.0, 10)
    assert found.relative_half_width == pytest.approx(3.5 / 5.5)


@pytest.mark.parametrize("n", range(1, MIN_SAMPLES))
def test_too_few_samples_have_no_interval(n: int) -> None:
    found = summarise([1.0] * n)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.relative_half_width == math.inf


def test_no_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="got no samples"):
        summarise([])


def test_equal_samples_are_certain() -> None:
    found = summarise([5.0] * 20)
    assert (found.median, found.low, found.high, found.relative_half_width) == (5.0, 5.0, 5.0, 0.0)


def test_one_wild_value_does_not_move_the_interval() -> None:
    calm = summarise([100.0, 101.0] * 20)
    wild = summarise([100.0, 101.0] * 20 + [1e12])
    assert (wild.low, wild.high) == (calm.low, calm.high)


def test_effective_samples_of_known_correlation() -> None:
    """AR(1): 1 + 2 Σ ρ is (1 + ρ) / (1 - ρ)."""
    series = correlated(np.random.default_rng(5), 5000, 0.6)[:40]
    found = float(np.mean([effective_samples(row) for row in series]))
    assert found == pytest.approx(5000 / 4, rel=0.1)


def test_a_drift_is_worth_few_samples() -> None:
    assert summarise(list(np.linspace(100.0, 110.0, 500))).effective < 20
