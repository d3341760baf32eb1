"""Exact signed-rank tests and intervals: against SciPy, by hand, and by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from attnlab.bench.stats.paired import (
    Interval,
    critical_rank,
    log_ratio,
    signed_rank_interval,
    signed_rank_p,
    walsh_averages,
)

from . import noise


def test_the_log_ratio_is_the_median_over_bursts() -> None:
    assert log_ratio([100, 100, 100], [103, 110, 90]) == pytest.approx(math.log(1.03))


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [([], [], "got 0 bursts"), ([1.0], [1.0, 2.0], "1 bursts of base and 2 of head"), ([1.0], [0.0], "not above zero")],
)
def test_bursts_that_make_no_ratio(base: list[float], head: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        log_ratio(base, head)


def test_walsh_averages_by_hand() -> None:
    assert list(walsh_averages([1.0, 3.0, 6.0])) == [1.0, 2.0, 3.0, 3.5, 4.5, 6.0]


@pytest.mark.parametrize("n", [3, 6, 9, 14, 20])
def test_p_values_are_scipys(n: int) -> None:
    random = np.random.default_rng(n)
    for _ in range(20):
        x = random.standard_normal(n) + 0.3
        theirs = stats.wilcoxon(x, alternative="greater", method="exact").pvalue
        assert signed_rank_p(list(x)) == pytest.approx(theirs)


@pytest.mark.parametrize("n", range(1, 17))
def test_n_pairs_never_give_a_p_value_under_two_to_the_minus_n(n: int) -> None:
    assert signed_rank_p([1.0] * n) == pytest.approx(2.0**-n)
    assert critical_rank(n, 2.0**-n * 0.999) == 0
    assert critical_rank(n, 2.0**-n) == 1


def test_no_pairs_prove_nothing() -> None:
    assert signed_rank_p([]) == 1.0


def test_differences_of_exactly_zero_speak_for_zero() -> None:
    assert signed_rank_p([0.0] * 10) == 1.0
    assert signed_rank_p([0.0] * 5 + [1.0] * 5) > signed_rank_p([1.0] * 10)


def test_an_interval_by_hand() -> None:
    """6 pairs at 1/64: the least and the greatest Walsh average; below that level there is none."""
    x = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
    assert signed_rank_interval(x, 1 / 64) == Interval(0.01, 0.06)
    assert signed_rank_interval(x, 1 / 65) == Interval(-math.inf, math.inf)


def test_the_interval_leaves_zero_out_just_where_the_test_rejects() -> None:
    random = np.random.default_rng(5)
    for _ in range(300):
        x = list(random.standard_normal(10) + 0.5)
        rejected = signed_rank_p(x) <= 0.025
        assert rejected == (signed_rank_interval(x, 0.025).low > 0)


@pytest.mark.parametrize("draw", [noise.normal, noise.heavy_tailed, noise.spikes])
@pytest.mark.parametrize("n", [8, 12])
def test_the_interval_covers(draw: Callable[..., Any], n: int) -> None:
    """Misses on each side at most at the level, and not far below it, whatever the tails."""
    random = np.random.default_rng(n)
    tail, trials = 0.05, 2000
    intervals = [signed_rank_interval(list(draw(random, n)), tail) for _ in range(trials)]
    low = sum(interval.low > 0 for interval in intervals)
    high = sum(interval.high < 0 for interval in intervals)
    for misses in (low, high):
        assert stats.binomtest(misses, trials, tail, alternative="greater").pvalue > 1e-4
        assert misses > 0.6 * tail * trials


def test_within_is_strict_on_both_ends() -> None:
    assert Interval(-0.02, 0.02).within(0.03)
    assert not Interval(-0.03, 0.02).within(0.03)
    assert not Interval(-0.02, math.inf).within(0.03)
