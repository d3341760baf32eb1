"""Where two costs cross: recovered from exact lines, held by its interval under noise, and unknown where it is."""

from __future__ import annotations

import numpy as np
import pytest

from attnlab.bench.stats.break_even import Pays, break_even, fit_line

LENGTHS = [512, 1024, 2048, 4096, 8192, 16384]


def costs(intercept: float, slope: float, noise: float = 0.0, seed: int = 0) -> list[float]:
    factors = np.exp(noise * np.random.default_rng(seed).standard_normal(len(LENGTHS)))
    return [float((intercept + slope * x) * f) for x, f in zip(LENGTHS, factors, strict=True)]


def test_an_exact_line_is_found() -> None:
    line = fit_line(LENGTHS, costs(100, 0.5))
    assert line.intercept == pytest.approx(100)
    assert line.slope == pytest.approx(0.5)
    assert line.slope_interval[0] <= line.slope <= line.slope_interval[1]


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = [
        (line := fit_line(LENGTHS, costs(100, 0.5, 0.03, seed))).slope_interval[0] <= 0.5 <= line.slope_interval[1]
        for seed in range(400)
    ]
    assert 0.91 <= np.mean(held) <= 0.985


def test_a_cheaper_slope_pays_from_where_the_lines_cross() -> None:
    found = break_even(LENGTHS, costs(100, 1.0), costs(1100, 0.5))
    assert found.pays is Pays.FROM
    assert found.length == pytest.approx(2000, rel=1e-6)
    assert found.low == pytest.approx(2000, rel=0.02)
    assert found.high == pytest.approx(2000, rel=0.02)


def test_what_is_cheaper_everywhere_pays_always_and_what_is_dearer_never() -> None:
    assert break_even(LENGTHS, costs(100, 1.0), costs(90, 0.5)).pays is Pays.ALWAYS
    assert break_even(LENGTHS, costs(100, 1.0), costs(110, 1.2)).pays is Pays.NEVER


def test_what_cannot_be_told_apart_is_unknown() -> None:
    unknown = [
        break_even(LENGTHS, costs(100, 1.0, 0.05, seed), costs(100, 1.0, 0.05, seed + 1000)).pays for seed in range(200)
    ]
    assert unknown.count(Pays.UNKNOWN) >= 0.85 * len(unknown)


def test_a_crossing_far_beyond_what_was_measured_is_unknown() -> None:
    assert break_even(LENGTHS, costs(100, 1.0), costs(100_000, 0.999)).pays in (Pays.NEVER, Pays.UNKNOWN)


def test_the_interval_of_the_crossing_holds_it() -> None:
    held = 0
    for seed in range(300):
        found = break_even(LENGTHS, costs(100, 1.0, 0.02, seed), costs(1100, 0.5, 0.02, seed + 5000))
        assert found.pays is Pays.FROM
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 2000 <= found.high
    assert held >= 0.92 * 300


@pytest.mark.parametrize(("lengths", "values"), [([1, 2], [1.0, 2.0]), ([1, 1, 1], [1.0, 1.0, 1.0])])
def test_too_few_lengths_are_refused(lengths: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match="expected three lengths"):
        fit_line(lengths, values)
    with pytest.raises(ValueError, match="expected three lengths"):
        break_even(lengths, values, values)


def test_costs_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="costs above 0"):
        fit_line([1, 2, 3], [1.0, 0.0, 2.0])
