"""Adjusted p-values and estimates of true hypotheses: by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attnlab.bench.stats.family import holm, true_nulls


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_members_that_are_not_given_count() -> None:
    assert holm([0.01, 0.02], members=10) == pytest.approx([0.1, 0.18])


def test_true_hypotheses_by_hand() -> None:
    assert true_nulls([0.01, 0.02, 0.03], 3) == 3.0
    assert true_nulls([0.01] * 40, 40) == 2.0
    assert true_nulls([0.01] * 30 + [0.6] * 10, 40) == 22.0


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_p_value_lies_between_zero_and_one(p: float) -> None:
    with pytest.raises(ValueError, match="expected a number from 0 to 1"):
        holm([0.5, p])
    with pytest.raises(ValueError, match="expected a number from 0 to 1"):
        true_nulls([0.5, p], 2)


def test_error_rates_by_simulation() -> None:
    """Of 20 comparisons 5 are real: Holm seldom makes any false discovery, and finds more than half of the real."""
    random = np.random.default_rng(0)
    trials, level = 1000, 0.1
    any_false, found = 0, 0
    for _ in range(trials):
        z = random.standard_normal(20)
        z[:5] += 3
        rejected = np.array(holm(list(stats.norm.sf(z)))) <= level
        any_false += bool(rejected[5:].any())
        found += int(rejected[:5].sum())
    assert stats.binomtest(any_false, trials, level, alternative="greater").pvalue > 1e-3
    assert found > 0.5 * 5 * trials


@pytest.mark.parametrize("true", [4, 12, 40])
def test_the_level_over_the_estimate_keeps_the_level(true: int) -> None:
    """Of 40 hypotheses so many are true, and no other speaks for its own."""
    random = np.random.default_rng(true)
    trials, level = 2000, 0.05
    wrong = 0
    for _ in range(trials):
        p = random.random(true)
        wrong += bool((p <= level / true_nulls([*p, *[0.0] * (40 - true)], 40)).any())
    assert stats.binomtest(wrong, trials, level, alternative="greater").pvalue > 1e-4
    assert wrong > 0.3 * level * trials
