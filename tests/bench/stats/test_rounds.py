"""Ratios of figures that were taken in turn."""

from __future__ import annotations

import math
import random

import pytest

from attnlab.bench.stats.rounds import RoundFigure, difference, ratio, took_turns


def rounds(*values: float, start_s: float = 0.0, every_s: float = 10.0) -> list[RoundFigure]:
    return [RoundFigure(start_s + every_s * n, value) for n, value in enumerate(values)]


def test_the_median_of_ratios_round_by_round() -> None:
    found = ratio(rounds(10, 20, 40), rounds(5, 20, 10, start_s=3))
    assert found is not None
    assert (found.median, found.rounds) == (pytest.approx(2.0), 3)
    assert (found.low, found.high) == (None, None), "three rounds give no interval at 95 %"


def test_what_both_share_in_a_round_is_no_difference() -> None:
    shared = [1.0, 3.0, 0.5, 2.0, 8.0, 1.5, 4.0]
    found = ratio(rounds(*(1.5 * s for s in shared)), rounds(*shared, start_s=1))
    assert found is not None
    assert [found.median, found.low, found.high] == pytest.approx([1.5, 1.5, 1.5])


def test_the_interval_misses_the_truth_at_its_level() -> None:
    source = random.Random(3)
    missed = 0
    for _ in range(400):
        base, head = ([math.exp(source.gauss(0, 0.1)) for _ in range(8)] for _ in range(2))
        found = ratio(rounds(*base), rounds(*head, start_s=2))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= 1 <= found.high
    assert 4 <= missed <= 36  # 5 % of 400, and what chance makes of it


@pytest.mark.parametrize(
    ("base", "head"),
    [
        (rounds(1, 2), rounds(1, start_s=1)),
        (rounds(1, 2), rounds(1, 2, start_s=100)),
        (rounds(1, 2, every_s=1), rounds(1, 2, start_s=50, every_s=1)),
        ([], []),
    ],
    ids=["fewer", "one after the other", "runs apart", "nothing"],
)
def test_no_ratio_of_what_did_not_take_turns(base: list[RoundFigure], head: list[RoundFigure]) -> None:
    assert not took_turns(base, head)
    assert ratio(base, head) is None


def test_turns_may_go_to_and_fro() -> None:
    base, head = (
        [RoundFigure(0, 1), RoundFigure(15, 1), RoundFigure(20, 1)],
        [RoundFigure(5, 1), RoundFigure(10, 1), RoundFigure(25, 1)],
    )
    assert took_turns(base, head)


def test_no_ratio_of_what_is_not_above_zero() -> None:
    assert ratio(rounds(1.0, 0.0), rounds(1.0, 1.0, start_s=1)) is None


def test_the_median_of_differences_round_by_round() -> None:
    base = [RoundFigure(10.0 * n, 5.0 + drift) for n, drift in enumerate((0, 3, 1, 9, 2, 4, 0))]
    head = [RoundFigure(one.started_s + 1, one.value + 2 + 0.1 * n) for n, one in enumerate(base)]
    found = difference(base, head)
    assert found is not None
    assert (found.median, found.rounds) == (pytest.approx(2.3), 7)
    assert found.low is not None
    assert found.high is not None
    assert 2.0 <= found.low < 2.3 < found.high <= 2.6
    few = difference(base[:3], head[:3])
    assert few is not None
    assert (few.low, few.high) == (None, None)
    assert difference(base, [RoundFigure(1e3 + n, 1.0) for n in range(7)]) is None
