"""Growth exponents of power laws that are known."""

from __future__ import annotations

import numpy as np
import pytest

from attnlab.bench.stats.growth import fit_growth

SIZES = [256, 512, 1024, 2048, 4096]


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.5, 2.0, 3.0])
def test_an_exact_power_law(exponent: float) -> None:
    found = fit_growth(SIZES, [7e-3 * n**exponent for n in SIZES])
    assert found is not None
    assert found.exponent == pytest.approx(exponent, abs=1e-9)
    assert found.high - found.low == pytest.approx(0.0, abs=1e-6)
    assert found.points == len(SIZES)


@pytest.mark.parametrize("points", [3, 5, 10])
def test_the_interval_covers_the_truth(points: int) -> None:
    rng = np.random.default_rng(points)
    sizes = [64.0 * 2**i for i in range(points)]
    found = [fit_growth(sizes, [n**2 * rng.lognormal(0, 0.1) for n in sizes]) for _ in range(600)]
    covered = sum(g is not None and g.low <= 2 <= g.high for g in found) / len(found)
    assert 0.92 < covered < 0.98


def test_a_fixed_cost_beside_the_law_pulls_the_exponent_down() -> None:
    found = fit_growth(SIZES, [1e6 + n**2 for n in SIZES])
    assert found is not None
    assert 0.5 < found.exponent < 2
    assert found.low < found.exponent < found.high


@pytest.mark.parametrize(
    ("sizes", "values"),
    [
        ([1, 2], [1, 2]),
        ([4, 4, 4], [1, 2, 3]),
        ([], []),
        ([1, 2, 4], [0, 1, 2]),
        ([1, 2, 4], [-1, 1, 2]),
        ([0, 2, 4], [1, 1, 2]),
        ([1, 2, 4], [1, float("nan"), 2]),
        ([1, 2, 4], [1, float("inf"), 2]),
    ],
)
def test_nothing_is_made_of_too_little(sizes: list[float], values: list[float]) -> None:
    assert fit_growth(sizes, values) is None
