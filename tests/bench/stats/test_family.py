"""Adjusted p-values: by hand, against SciPy, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attnlab.bench.stats.family import benjamini_hochberg, holm


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_benjamini_hochberg_by_hand() -> None:
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert benjamini_hochberg([]) == []


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_p_value_lies_between_zero_and_one(adjust: object, p: float) -> None:
    with pytest.raises(ValueError, match="expected a number from 0 to 1"):
        adjust([0.5, p])  # type: ignore[operator]


def test_error_rates_by_simulation() -> None:
    """Of 20 comparisons 5 are real: Holm seldom makes any false discovery, BH few of all, and finds more."""
    random = np.random.default_rng(0)
    trials, level = 1000, 0.1
    any_false = 0
    shares, found = [], {"holm": 0, "bh": 0}
    for _ in range(trials):
        z = random.standard_normal(20)
        z[:5] += 3
        p = stats.norm.sf(z)
        by_holm, by_bh = np.array(holm(p)) <= level, np.array(benjamini_hochberg(p)) <= level
        any_false += bool(by_holm[5:].any())
        shares.append(by_bh[5:].sum() / max(1, by_bh.sum()))
        found["holm"] += int(by_holm[:5].sum())
        found["bh"] += int(by_bh[:5].sum())
    assert stats.binomtest(any_false, trials, level, alternative="greater").pvalue > 1e-3
    assert np.mean(shares) < level
    assert found["bh"] > found["holm"] > 0.5 * 5 * trials
