"""Verdicts: their order, their conditions, and the family's adjustment."""

from __future__ import annotations

import math

import pytest

from attnlab.bench.stats.paired import Interval
from attnlab.bench.stats.sequential import Looks
from attnlab.bench.stats.verdict import Compared, Rule, Verdict, geometric_means, judge, verdict_of

ONE_LOOK = Rule(Looks((8,)))
SPREAD = (-0.004, -0.003, -0.002, -0.001, 0.001, 0.002, 0.003, 0.004)


def compared(change: float, spread: float = 1.0, **more: float) -> Compared:
    centre = math.log1p(change)
    return Compared(tuple(centre + spread * x for x in SPREAD), more.pop("base", 1e6), **more)


def verdict(c: Compared, members: int = 1) -> Verdict:
    return judge({"it": c}, 8, ONE_LOOK, members)["it"].verdict


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (0.05, Verdict.SLOWER),
        (0.02, Verdict.SLOWER),  # over half the target, and proved
        (0.012, Verdict.SAME),  # proved, and too small to matter
        (0.0, Verdict.SAME),
        (-0.05, Verdict.FASTER),
        (-0.012, Verdict.SAME),
    ],
)
def test_verdicts_by_size(change: float, wanted: Verdict) -> None:
    assert verdict(compared(change)) is wanted


def test_noise_is_inconclusive_and_never_same() -> None:
    assert verdict(compared(0.0, spread=10)) is Verdict.INCONCLUSIVE
    assert verdict(compared(0.05, spread=20)) is Verdict.INCONCLUSIVE


def test_what_the_timer_cannot_tell_is_not_slower() -> None:
    assert verdict(compared(0.05, base=1000.0, floor=49.0)) is Verdict.SLOWER
    assert verdict(compared(0.05, base=1000.0, floor=51.0)) is Verdict.INCONCLUSIVE


def test_the_target_decides() -> None:
    assert verdict(compared(0.05, target=0.2)) is Verdict.SAME
    assert verdict(compared(0.05, target=0.04)) is Verdict.SLOWER


def test_the_family_is_adjusted_for() -> None:
    """8 pairs of one sign have p = 2⁻⁸, which 0.025 over 6 comparisons reaches and over 7 does not."""
    assert verdict(compared(0.05), members=6) is Verdict.SLOWER
    assert verdict(compared(0.05), members=7) is Verdict.INCONCLUSIVE


def test_holm_steps_down() -> None:
    """Each rejection leaves one comparison less to adjust for: with Bonferroni none of 7 would be told."""
    family = {f"slow {n}": compared(0.05) for n in range(2)}
    assert {j.verdict for j in judge(family, 8, ONE_LOOK, 6).values()} == {Verdict.SLOWER}
    assert {j.verdict for j in judge(family, 8, ONE_LOOK, 7).values()} == {Verdict.INCONCLUSIVE}


def test_slower_and_faster_in_one_family() -> None:
    told = judge({"a": compared(0.05), "b": compared(-0.05), "c": compared(0.0)}, 8, ONE_LOOK)
    assert [j.verdict for j in told.values()] == [Verdict.SLOWER, Verdict.FASTER, Verdict.SAME]
    assert told["a"].ratio == pytest.approx(1.05)
    assert told["a"].low < 1.05 < told["a"].high
    assert told["a"].pairs == 8


def test_too_few_pairs_have_no_interval() -> None:
    told = judge({"it": Compared((0.05, 0.05), 1e6)}, 8, ONE_LOOK)["it"]
    assert (told.verdict, told.low, told.high) == (Verdict.INCONCLUSIVE, 0.0, math.inf)


def test_geometric_means_are_of_each_pair() -> None:
    family = {"a": Compared((0.02, 0.04), 1e3), "b": Compared((0.04, 0.0), 1e5), "c": Compared((1.0, 1.0), 1.0)}
    means = geometric_means(family, {"a": "x", "b": "x", "c": "y"})
    assert means["x"].log_ratios == pytest.approx((0.03, 0.02))
    assert means["x"].base == pytest.approx(1e4)
    assert means["y"].log_ratios == (1.0, 1.0)


@pytest.mark.parametrize(
    ("estimate", "interval", "proved", "wanted"),
    [
        (0.05, Interval(0.01, 0.09), True, Verdict.SLOWER),
        (0.05, Interval(0.01, 0.09), False, Verdict.INCONCLUSIVE),
        (-0.05, Interval(-0.09, -0.01), True, Verdict.FASTER),
        (0.01, Interval(0.005, 0.015), True, Verdict.SAME),
    ],
)
def test_a_verdict_on_one_estimate(estimate: float, interval: Interval, proved: bool, wanted: Verdict) -> None:
    assert verdict_of(estimate, interval, proved) is wanted
