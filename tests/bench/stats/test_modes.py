"""Two modes are told from noise: no alarm on any shape of one mode, and mixes are found. Seeds are fixed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from attnlab.bench.measuring.modes import modes_told
from attnlab.bench.stats.modes import CRITICAL, dip, two_modes

Series = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Series]


def wandering(rng: np.random.Generator, n: int, kept: float) -> Series:
    noise, x = rng.standard_normal(n), np.empty(n)
    x[0] = noise[0]
    for i in range(1, n):
        x[i] = kept * x[i - 1] + (1 - kept * kept) ** 0.5 * noise[i]
    return x


ONE_MODE: dict[str, Draw] = {
    "normal": lambda rng, n: np.exp(0.05 * rng.standard_normal(n)),
    "uniform": lambda rng, n: 1 + 0.3 * rng.random(n),
    "skew": lambda rng, n: 1 + 0.2 * rng.exponential(size=n),
    "heavy tails": lambda rng, n: np.exp(np.clip(0.02 * rng.standard_cauchy(n), -1, 5)),
    "one in 20 takes 20 times as long": lambda rng, n: (
        np.exp(0.02 * rng.standard_normal(n)) * np.where(rng.random(n) < 0.05, 20, 1)
    ),
    "a clock's steps": lambda rng, n: np.round(6 + 0.8 * rng.standard_normal(n)).clip(1),
    "wandering": lambda rng, n: np.exp(0.1 * wandering(rng, n, 0.97)),
    "a level a burst": lambda rng, n: np.exp(0.1 * np.repeat(rng.standard_normal(n // 16 + 1), 16)[:n]),
    "a random walk": lambda rng, n: np.exp(0.5 * np.cumsum(rng.standard_normal(n)) / n**0.5),
    "a ramp": lambda rng, n: np.exp(np.linspace(0, 0.3, n) + 0.02 * rng.standard_normal(n)),
}


def mix(rng: np.random.Generator, n: int, apart: float, noise: float, share: float = 0.6) -> Series:
    return np.where(rng.random(n) < share, 1.0, apart) * np.exp(noise * rng.standard_normal(n))


@pytest.mark.parametrize("name", ONE_MODE)
def test_one_mode_is_not_two(name: str) -> None:
    rng = np.random.default_rng(1)
    assert [two_modes(list(ONE_MODE[name](rng, n))) for n in [30] * 40 + [200] * 40] == [None] * 80


def test_the_critical_value_is_that_of_one_in_a_thousand() -> None:
    """Of uniform samples, which are the likeliest to look like two modes; 2,000 draws of 64."""
    rng = np.random.default_rng(2)
    found = [dip(np.sort(rng.random(64))) * 8 for _ in range(2000)]
    assert sum(value > CRITICAL for value in found) <= 6
    assert max(found) > 0.55, "the value is not far beyond what chance reaches"


@pytest.mark.parametrize(("apart", "noise", "least"), [(1.1, 0.01, 0.9), (1.2, 0.02, 0.9), (1.4, 0.03, 1.0)])
def test_mixes_are_found(apart: float, noise: float, least: float) -> None:
    rng = np.random.default_rng(3)
    found = [two_modes(list(mix(rng, 200, apart, noise))) for _ in range(40)]
    seen = [modes for modes in found if modes is not None]
    assert len(seen) >= least * 40
    assert np.median([modes.apart for modes in seen]) == pytest.approx(apart, rel=0.02)
    assert np.median([modes.share for modes in seen]) == pytest.approx(0.6, abs=0.05)


def test_modes_that_last_are_found_where_there_are_enough_of_them() -> None:
    """A process keeps its mode for 40 samples: 40 of these are not 1,600 independent ones, but enough."""
    rng = np.random.default_rng(4)
    levels = np.repeat(rng.permutation([1.0] * 24 + [1.4] * 16), 40)
    assert two_modes(list(levels * np.exp(0.01 * rng.standard_normal(levels.size)))) is not None
    few = np.repeat([1.0, 1.4, 1.0, 1.4], 400)
    assert two_modes(list(few * np.exp(0.01 * rng.standard_normal(few.size)))) is None


@pytest.mark.parametrize(("apart", "share"), [(1.03, 0.6), (1.4, 0.95)])
def test_what_is_near_or_rare_is_not_told(apart: float, share: float) -> None:
    rng = np.random.default_rng(5)
    assert two_modes(list(mix(rng, 500, apart, 0.002, share))) is None


def test_the_unit_changes_nothing() -> None:
    values = mix(np.random.default_rng(6), 200, 1.4, 0.01)
    small, large = two_modes(list(values)), two_modes(list(1e9 * values))
    assert small is not None
    assert large is not None
    assert (large.low, large.high) == pytest.approx((1e9 * small.low, 1e9 * small.high))


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 50, [0.0] * 20, [-1.0, 1.0] * 20, [1.0, 2.0] * 50])
def test_what_says_nothing(values: list[float]) -> None:
    assert two_modes(values) is None


def test_the_words() -> None:
    told = modes_told(list(1e6 * mix(np.random.default_rng(7), 400, 1.4, 0.005)))
    assert told is not None
    assert told.startswith("two modes: ")
    assert "% at 1.00 ms, " in told
    assert told.endswith("% at 1.40 ms")
