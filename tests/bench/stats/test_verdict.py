"""Verdicts: their order, their conditions, and the family's adjustment."""

from __future__ import annotations

import math

import pytest

from attnlab.bench.stats.sequential import Looks
from attnlab.bench.stats.verdict import LogRatios, Rule, Verdict, geometric_mean, judge, most_beyond

ONE_LOOK = Rule(Looks((8,)))
SPREAD = (-0.004, -0.003, -0.002, -0.001, 0.001, 0.002, 0.003, 0.004)


def compared(change: float, spread: float = 1.0, **more: float) -> LogRatios:
    centre = math.log1p(change)
    return LogRatios(tuple(centre + spread * x for x in SPREAD), more.pop("base", 1e6), **more)


def verdict(c: LogRatios, members: int = 1) -> Verdict:
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
    """8 pairs of one sign have p = 2⁻⁸, which 0.0125 over 3 comparisons reaches and over 4 does not."""
    assert verdict(compared(0.05), members=3) is Verdict.SLOWER
    assert verdict(compared(0.05), members=4) is Verdict.INCONCLUSIVE


def test_what_looks_slower_alone_is_suspected_in_any_family() -> None:
    told = judge({"it": compared(0.05)}, 8, ONE_LOOK, 1000)["it"]
    assert (told.verdict, told.suspect) == (Verdict.INCONCLUSIVE, Verdict.SLOWER)
    assert judge({"it": compared(-0.05)}, 8, ONE_LOOK, 1000)["it"].suspect is Verdict.FASTER
    for small in (0.0, 0.012):
        assert judge({"it": compared(small)}, 8, ONE_LOOK, 1000)["it"].suspect is None


def test_holm_steps_down() -> None:
    """Each rejection leaves one comparison less to adjust for: with Bonferroni none of 4 would be told."""
    family = {f"slow {n}": compared(0.05) for n in range(2)}
    assert {j.verdict for j in judge(family, 8, ONE_LOOK, 3).values()} == {Verdict.SLOWER}
    assert {j.verdict for j in judge(family, 8, ONE_LOOK, 4).values()} == {Verdict.INCONCLUSIVE}


def test_same_is_adjusted_for_those_that_may_not_be() -> None:
    """Of 40 clear comparisons each is `same`; where half may be outside, 8 pairs call none so."""
    clear = {f"same {n}": compared(0.0) for n in range(20)}
    unclear = {f"slow {n}": compared(0.05) for n in range(20)}
    assert {j.verdict for j in judge(clear, 8, ONE_LOOK).values()} == {Verdict.SAME}
    told = judge({**clear, **unclear}, 8, ONE_LOOK)
    assert {told[key].verdict for key in clear} == {Verdict.INCONCLUSIVE}
    assert {j.verdict for j in judge(clear, 8, ONE_LOOK, 40, unlike=20).values()} == {Verdict.INCONCLUSIVE}


def test_what_hits_some_of_the_processes_is_not_same() -> None:
    """Two of 12 pairs at +5 %: the interval lies within the target, and yet a third may be hit."""
    rule = Rule(Looks((12,)))
    calm = LogRatios(tuple(SPREAD + SPREAD[:4]), 1e6)
    hit = LogRatios(tuple(SPREAD + SPREAD[:2] + (0.05, 0.05)), 1e6)
    assert judge({"it": calm}, 12, rule)["it"].verdict is Verdict.SAME
    told = judge({"it": hit}, 12, rule)["it"]
    assert (told.verdict, told.high < 1.03) == (Verdict.INCONCLUSIVE, True)


@pytest.mark.parametrize(("pairs", "most"), [(0, -1), (7, -1), (8, 0), (12, 0), (13, 1), (17, 2)])
def test_so_many_pairs_may_be_beyond(pairs: int, most: int) -> None:
    """P(as many or fewer of a third) ≤ 5 %, by hand: (2/3)⁷ = 5.9 %, (2/3)⁸ = 3.9 %."""
    assert most_beyond(pairs) == most


def test_slower_and_faster_in_one_family() -> None:
    told = judge({"a": compared(0.05), "b": compared(-0.05), "c": compared(0.0)}, 8, ONE_LOOK)
    assert [j.verdict for j in told.values()] == [Verdict.SLOWER, Verdict.FASTER, Verdict.SAME]
    assert told["a"].ratio == pytest.approx(1.05)
    assert told["a"].low < 1.05 < told["a"].high
    assert told["a"].pairs == 8


def test_too_few_pairs_have_no_interval() -> None:
    told = judge({"it": LogRatios((0.05, 0.05), 1e6), "none": LogRatios((), 1e6)}, 8, ONE_LOOK)["it"]
    assert (told.verdict, told.low, told.high) == (Verdict.INCONCLUSIVE, 0.0, math.inf)


def test_comparisons_of_unlike_numbers_of_pairs_are_judged_together() -> None:
    told = judge({"a": compared(0.05), "b": LogRatios((0.05,) * 6, 1e6), "c": compared(0.0)}, 8, ONE_LOOK)
    assert [(j.verdict, j.pairs) for j in told.values()] == [
        (Verdict.SLOWER, 8),
        (Verdict.INCONCLUSIVE, 6),
        (Verdict.SAME, 8),
    ]


def test_a_geometric_mean_is_of_each_pair() -> None:
    mean = geometric_mean([LogRatios((0.02, 0.04), 1e3, 0.05, 1.0), LogRatios((0.04, 0.0), 1e5, 0.03, 2.0)])
    assert mean.log_ratios == pytest.approx((0.03, 0.02))
    assert (mean.base, mean.target, mean.floor) == (pytest.approx(1e4), 0.03, 2.0)


def test_all_that_a_rule_spends_is_its_alpha() -> None:
    """Three verdicts on fresh pairs, `faster` and `same` at the looks before."""
    for rule in (Rule(), Rule(Looks((8,))), Rule(Looks((6, 9)), 0.1, most_pairs=9)):
        looks = (*rule.looks.pairs, *rule.looks_beyond)
        assert sum(map(rule.share, looks)) == pytest.approx(1.0)
        assert 3 * rule.fresh + 2 * sum(map(rule.level, looks)) <= rule.alpha * (1 + 1e-9)


def test_looks_beyond_end_where_asked() -> None:
    assert Rule().looks_beyond == (24, 32, 48, 64)
    assert Rule(most_pairs=40).looks_beyond == (24, 32, 40)
    assert Rule(most_pairs=16).looks_beyond == ()
