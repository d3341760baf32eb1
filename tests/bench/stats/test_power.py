"""The gate's error rates by simulation: size under the null with ugly noise, power, and what replays say of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from attnlab.bench.stats.power import Rate, least_detectable, replay
from attnlab.bench.stats.sequential import Looks
from attnlab.bench.stats.verdict import LogRatios, Rule, Verdict, judge

from . import noise

RULE = Rule()
SCATTER = 0.015  # of a live pair's log-ratio, as measured on a noisy machine


def test_rates_have_exact_bounds() -> None:
    """No event in n trials is bounded by 1 − 0.05^(1/n): the rule of three."""
    assert Rate(0, 2000).bound == pytest.approx(1 - 0.05 ** (1 / 2000))
    assert Rate(0, 2000).interval()[0] == 0.0
    assert Rate(5, 10).share == 0.5
    assert Rate(5, 10).interval() == pytest.approx((0.187, 0.813), abs=1e-3)
    assert Rate(0, 0).interval() == (0.0, 1.0)
    assert Rate(0, 0).bound == 1.0


@pytest.mark.parametrize("draw", [noise.normal, noise.heavy_tailed, noise.spikes])
@pytest.mark.parametrize("scatter", [0.015, 0.06])
def test_size_of_all_looks(draw: Callable[..., Any], scatter: float) -> None:
    """All looks of three equal comparisons together alarm on each side in at most what they may spend.

    Judged for any `slower` or `faster` of screening, on fresh noise, not on replays.
    """
    random = np.random.default_rng(3)
    families = 600
    alarms = {Verdict.SLOWER: 0, Verdict.FASTER: 0}
    for _ in range(families):
        x = scatter * draw(random, 3 * RULE.looks.last).reshape(3, -1)
        told = {
            judged.verdict
            for look in RULE.looks.pairs
            for judged in judge({n: LogRatios(tuple(x[n, :look]), 1e6) for n in range(3)}, look, RULE).values()
        }
        for verdict in alarms:
            alarms[verdict] += verdict in told
    for count in alarms.values():
        assert stats.binomtest(count, families, RULE.planned, alternative="greater").pvalue > 1e-3


def test_size_with_autocorrelated_bursts() -> None:
    """Drift shared by the arms of a pair cancels; what is left is symmetric, and the size is kept."""
    random = np.random.default_rng(4)
    families, alarms = 300, 0
    rule = Rule(Looks((8,)))
    for _ in range(families):
        ratios = []
        for _ in range(8):
            drift = 0.1 * noise.correlated(random, 32, 0.9)  # one machine, whose speed both arms share
            base, head = drift[0::2], drift[1::2]
            own = 0.01 * random.standard_normal(2)  # of each process: its layout in memory
            ratios.append(float(np.median(head - base)) + own[1] - own[0])
        alarms += judge({"it": LogRatios(tuple(ratios), 1e6)}, 8, rule)["it"].verdict is Verdict.SLOWER
    assert stats.binomtest(alarms, families, rule.planned, alternative="greater").pvalue > 1e-3


def recorded(random: np.random.Generator, pairs: int = 120, draw: Callable[..., Any] = noise.normal) -> list[float]:
    return list(SCATTER * draw(random, pairs))


def test_replayed_decisions_on_equal_arms_seldom_alarm() -> None:
    random = np.random.default_rng(5)
    found = replay({name: recorded(random) for name in "abc"}, RULE, 300, seed=0)
    assert found.alarms.count <= 3
    assert sum(found.verdicts["a"].values()) == 300
    assert found.verdicts["a"][Verdict.SAME] > 240
    assert RULE.looks.pairs[0] <= found.mean_pairs <= RULE.looks.last


@pytest.mark.parametrize(("slowdown", "least"), [(0.05, 0.95), (0.10, 0.99)])
def test_replayed_slowdowns_are_found(slowdown: float, least: float) -> None:
    random = np.random.default_rng(6)
    data = {name: recorded(random) for name in "abc"}
    found = replay(data, RULE, 300, seed=1, slowdown={"b": slowdown})
    assert found.verdicts["b"][Verdict.SLOWER] >= least * 300
    assert found.verdicts["a"][Verdict.SLOWER] <= 3


def test_a_slowdown_of_the_target_is_slower_or_inconclusive() -> None:
    random = np.random.default_rng(7)
    found = replay({"a": recorded(random)}, RULE, 400, seed=2, slowdown={"a": 0.03}).verdicts["a"]
    assert found[Verdict.SAME] + found[Verdict.FASTER] <= 0.02 * 400


def test_replays_repeat() -> None:
    data = {"a": recorded(np.random.default_rng(8))}
    assert replay(data, RULE, 50, seed=3) == replay(data, RULE, 50, seed=3)


def test_more_noise_needs_a_larger_slowdown() -> None:
    x = recorded(np.random.default_rng(9))
    calm, loud = (least_detectable([k * value for value in x], RULE, 100, 0, 0.03) for k in (1.0, 4.0))
    assert calm is not None
    assert loud is not None
    assert 0.015 < calm < 0.05 < loud


def test_what_no_slowdown_shows_in_is_said() -> None:
    x = recorded(np.random.default_rng(10))
    assert least_detectable([200 * value for value in x], RULE, 50, 0, 0.03) is None
