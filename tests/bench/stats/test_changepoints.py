"""Change points of series made up with a known truth: how often none is found where there is none, and where."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from attnlab.bench.stats import changepoints
from attnlab.bench.stats.changepoints import MIN_VALUES, find_changes

Noise = Callable[[np.random.Generator, int], NDArray[np.float64]]
NOISES: dict[str, Noise] = {
    "normal": lambda rng, n: rng.normal(0, 0.015, n),
    "student with 2 degrees": lambda rng, n: 0.01 * rng.standard_t(2, n),
    "cauchy": lambda rng, n: np.clip(0.01 * rng.standard_cauchy(n), -20, 20),
    "two modes": lambda rng, n: 0.1 * rng.integers(0, 2, n) + rng.normal(0, 0.005, n),
    "few distinct values": lambda rng, n: np.where(rng.random(n) < 0.15, 0.1, 0.0),
}


def series(noise: str, seed: int, count: int, steps: dict[int, float]) -> list[float]:
    """Medians about 1 ms; from each index on they are that much larger, as a share."""
    logs = NOISES[noise](np.random.default_rng(seed), count)
    for index, share in steps.items():
        logs[index:] += math.log1p(share)
    return [float(value) for value in 1e6 * np.exp(logs)]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("count", [10, 30])
def test_false_alarms_are_at_most_one_in_a_hundred(noise: str, count: int) -> None:
    """At 1 % of 300 series, nine or more are seen once in 270 times."""
    alarms = sum(bool(find_changes(series(noise, seed, count, {}))) for seed in range(300))
    assert alarms <= 8


def test_the_level_is_the_rate_of_false_alarms() -> None:
    """At 20 % a first split comes in 20 %: the test is not merely blind. A few of them do not hold in the end."""
    alarms = sum(bool(find_changes(series("normal", seed, 25, {}), level=0.2)) for seed in range(300))
    assert 24 <= alarms <= 82


def test_long_series_keep_the_level_with_fewer_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few orders as the longest series get, at a length that is quick: at 1 % of 300, nine are seen once in 270."""
    monkeypatch.setattr(changepoints, "MANY_VALUES", 1)
    assert changepoints._permutations(40) == changepoints.FEWEST_PERMUTATIONS
    alarms = sum(bool(find_changes(series("normal", seed, 40, {}))) for seed in range(300))
    assert alarms <= 8
    found = [find_changes(series("normal", seed, 40, {20: 0.05})) for seed in range(40)]
    assert sum(any(abs(change.index - 20) <= 1 for change in changes) for changes in found) >= 36


def test_a_series_of_years_is_searched() -> None:
    (change,) = find_changes(series("normal", 5, 3000, {2000: 0.01}))
    assert abs(change.index - 2000) <= 20
    assert change.ratio == pytest.approx(1.01, abs=0.002)


@pytest.mark.parametrize(
    ("share", "count", "index", "least"),
    [
        (0.05, 20, 10, 36),
        (0.05, 30, 22, 36),
        (0.10, 10, 5, 36),
        (0.10, 14, 11, 31),  # three values after it are few: 88 % in a longer simulation
        (0.10, 16, 12, 36),
        (0.10, 60, 55, 36),
        (-0.05, 20, 10, 36),
    ],
)
def test_a_step_is_found_in_its_place(share: float, count: int, index: int, least: int) -> None:
    found = [find_changes(series("normal", seed, count, {index: share})) for seed in range(40)]
    near = [changes for changes in found if len(changes) == 1 and abs(changes[0].index - index) <= 1]
    assert len(near) >= least
    assert np.median([changes[0].ratio for changes in near]) == pytest.approx(1 + share, abs=0.012)


def test_a_step_is_found_among_outliers() -> None:
    found = [find_changes(series("student with 2 degrees", seed, 40, {20: 0.10})) for seed in range(40)]
    assert sum(len(changes) == 1 and abs(changes[0].index - 20) <= 1 for changes in found) >= 34


def test_a_slowdown_that_was_mended_shows_both_ends() -> None:
    found = [find_changes(series("normal", seed, 60, {25: 0.10, 33: 1 / 1.1 - 1})) for seed in range(20)]
    both = [changes for changes in found if len(changes) == 2]
    assert len(both) >= 18
    assert all(abs(a.index - 25) <= 1 and abs(b.index - 33) <= 1 for a, b in both)
    assert all(a.ratio > 1.05 and b.ratio < 0.95 for a, b in both)


def test_many_changes_in_a_long_series() -> None:
    steps = {100: 0.08, 200: 0.08, 300: -0.2, 400: 0.05}
    found = find_changes(series("normal", 3, 500, steps))
    assert len(found) == 4
    assert all(abs(change.index - index) <= 1 for change, index in zip(found, steps, strict=True))
    assert all(change.p_value <= 0.01 for change in found)


def test_first_guesses_are_moved_apart_and_dropped() -> None:
    """Two guesses beside one step would both move to it; a guess where nothing changes does not hold."""
    logs = np.log(series("normal", 5, 60, {30: 0.10}))
    (only,) = changepoints._confirm(logs, [10, 25, 35, 50], 0.01)
    assert only[0] == 30
    assert changepoints._confirm(logs[:30], [10, 20], 0.01) == []


def test_changes_come_in_order_and_once() -> None:
    for seed in range(8):
        source = np.random.default_rng(seed)
        steps = {int(index): float(source.normal(0, 0.1)) for index in source.integers(1, 60, 6)}
        places = [change.index for change in find_changes(series("normal", seed, 60, steps), level=0.2)]
        assert places == sorted(set(places))


def test_a_step_where_most_values_are_equal() -> None:
    (only,) = find_changes([100.0] * 24 + [110.0] * 6)
    assert (only.index, only.ratio) == (24, pytest.approx(1.1))


def test_one_outlier_is_no_change() -> None:
    values = series("normal", 1, 40, {})
    for place in (0, 20, 39):
        assert find_changes([*values[:place], 100 * values[place], *values[place + 1 :]]) == ()


def test_one_new_value_is_no_change() -> None:
    assert find_changes(series("normal", 2, 40, {39: 0.5})) == ()


@pytest.mark.parametrize("count", range(MIN_VALUES))
def test_too_few_values_say_nothing(count: int) -> None:
    assert find_changes(series("normal", 0, count, {count // 2: 1.0})) == ()


def test_the_least_number_of_values_is_enough() -> None:
    (only,) = find_changes(series("normal", 0, MIN_VALUES, {MIN_VALUES // 2: 1.0}))
    assert only.index == MIN_VALUES // 2


def test_equal_values_have_no_change() -> None:
    assert find_changes([5.0] * 50) == ()


def test_the_unit_and_a_second_look_change_nothing() -> None:
    values = series("normal", 4, 50, {20: 0.05})
    found = find_changes(values)
    assert found == find_changes(values)
    assert [c.index for c in found] == [c.index for c in find_changes([value / 1e6 for value in values])]


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_value_that_has_no_logarithm(bad: float) -> None:
    with pytest.raises(ValueError, match="expected finite values above zero"):
        find_changes([1.0] * 20 + [bad])


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, float("nan")])
def test_a_level_that_is_no_chance(level: float) -> None:
    with pytest.raises(ValueError, match="expected a chance between 0 and 1"):
        find_changes([1.0] * 20, level)
