"""The median's interval: ranks against scipy, and coverage by simulation, seeded."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from attnlab.bench.stats.summary import MIN_EFFECTIVE, effective_samples, lower_rank, summarise

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
    """Of the intervals that are claimed, which have to be most."""
    found = [s for s in map(summarise, series) if s.unclaimed is None]
    assert len(found) > 0.6 * len(series)
    return sum(s.low <= truth <= s.high for s in found) / len(found)


@pytest.mark.parametrize("n", [50, 200, 2000])
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


@pytest.mark.parametrize(("n", "rho"), [(100, 0.3), (200, 0.5), (600, 0.8), (1500, 0.9), (200, -0.5)])
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
    half_widths = [width for width in half_widths if width < math.inf]
    assert len(half_widths) > 190
    exact = 1.96 * 1.2533 / math.sqrt(400) / 10  # the standard error of a normal sample's median
    assert exact * 0.9 < float(np.mean(half_widths)) < exact * 1.4


@pytest.mark.parametrize("n", [*range(1, 64), 100, 999, 5000, 20_000])
def test_ranks_are_those_of_the_binomial(n: int) -> None:
    rank = lower_rank(n, 0.025)
    assert stats.binom.cdf(rank - 1, n, 0.5) <= 0.025 + 1e-12
    assert stats.binom.cdf(rank, n, 0.5) > 0.025 - 1e-12


def test_a_textbook_interval() -> None:
    """Forty samples: the 14th and the 27th bound the median with 96 %."""
    order = np.random.default_rng(0).permutation(40)
    found = summarise([float(1 + place) for place in order])
    assert (found.median, found.samples, found.effective, found.unclaimed) == (20.5, 40, 40.0, None)
    halves = [float(np.median(order[:20]) + 1), float(np.median(order[20:]) + 1)]
    assert (found.low, found.high) == (min(14.0, *halves), max(27.0, *halves))
    assert found.relative_half_width == pytest.approx((found.high - found.low) / 2 / 20.5)


@pytest.mark.parametrize("n", [1, 2, 5, 10, MIN_EFFECTIVE - 1])
def test_too_few_samples_have_no_interval(n: int) -> None:
    found = summarise([1.0] * n)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.relative_half_width == math.inf
    assert found.unclaimed == f"too few samples are independent (worth {n}, and 30 are needed)"


def test_many_samples_that_hang_together_have_none_either() -> None:
    (series,) = correlated(np.random.default_rng(2), 600, 0.97)[:1]
    found = summarise(series)
    assert found.effective < 600 * 0.03 / 1.97 * 2
    assert found.unclaimed is not None


def ramp(random: np.random.Generator) -> NDArray[np.float64]:
    """A processor that starts slow: the first half takes a third longer."""
    return np.where(np.arange(600) < 300, 4.0, 3.0) * (1 + 0.002 * random.standard_normal(600))


def switching(random: np.random.Generator) -> NDArray[np.float64]:
    """Two levels, each held for some hundred samples."""
    return np.where(np.cumsum(random.random(600) < 0.01) % 2, 3.0, 4.0) * (1 + 0.002 * random.standard_normal(600))


def creeping(random: np.random.Generator) -> NDArray[np.float64]:
    return np.linspace(3.0, 4.0, 600) * (1 + 0.002 * random.standard_normal(600))


@pytest.mark.parametrize("moving", [ramp, switching, creeping])
def test_a_level_that_moves_has_no_interval(moving: Callable[[np.random.Generator], NDArray[np.float64]]) -> None:
    """Whatever the seed: these are no series of one level, and a fine interval of one would be wrong."""
    assert all(summarise(moving(np.random.default_rng(seed))).unclaimed for seed in range(20))


def test_halves_apart_are_told_where_the_autocorrelation_does_not_show_it() -> None:
    """Steps so rare that ranks hardly correlate: a tenth of the first half, a tenth of the second, shift the median."""
    random = np.random.default_rng(4)
    first, second = random.permuted([1.0] * 60 + [2.0] * 40), random.permuted([1.0] * 40 + [2.0] * 60)
    found = summarise([*first, *second])
    assert found.low <= 1.0 < 2.0 <= found.high, "widened to hold the medians of both halves"


def test_the_steps_of_a_coarse_timer_are_no_moving_level() -> None:
    shuffled = np.random.default_rng(6).permutation([100.0] * 39 + [101.0] * 41)
    assert summarise(list(shuffled)).unclaimed is None
    assert summarise([100.0, 101.0] * 300).relative_half_width < 0.01


def test_no_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="got no samples"):
        summarise([])


def test_equal_samples_are_certain() -> None:
    found = summarise([5.0] * 40)
    assert (found.median, found.low, found.high, found.relative_half_width) == (5.0, 5.0, 5.0, 0.0)


def test_one_wild_value_does_not_move_the_interval() -> None:
    calm = summarise([100.0, 101.0] * 40)
    wild = summarise([100.0, 101.0] * 40 + [1e12])
    assert (wild.low, wild.high) == (calm.low, calm.high)


def test_effective_samples_of_known_correlation() -> None:
    """AR(1): 1 + 2 Σ ρ is (1 + ρ) / (1 - ρ); one standard error less is given, so five in six fall below."""
    series = correlated(np.random.default_rng(5), 5000, 0.6)[:200]
    found = np.array([effective_samples(row) for row in series])
    assert float(found.mean()) == pytest.approx(0.9 * 5000 / 4, rel=0.08)
    assert 0.7 < float(np.mean(found < 5000 / 4)) < 0.95


def test_a_drift_is_worth_few_samples() -> None:
    assert summarise(list(np.linspace(100.0, 110.0, 500))).effective < 20
