"""Decisions from scripted pairs: early stops, fresh pairs for suspects, large families, and what is not measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from attnlab.bench.stats.decision import Decisions, PairRatio, Subject, decide
from attnlab.bench.stats.sequential import Looks
from attnlab.bench.stats.verdict import Rule, Verdict

from . import noise

RULE = Rule(Looks((8, 12)))
WIGGLE = (0.002, -0.003, 0.001, -0.001, 0.003, -0.002, 0.004, -0.004)


class Machine:
    """Gives each benchmark the changes of its script, in turn, and writes down what was asked."""

    def __init__(self, **changes: float | Sequence[float]) -> None:
        self._changes = changes
        self._given: dict[str, int] = {}
        self.asked: list[tuple[tuple[str, ...], int]] = []

    def take(self, keys: Sequence[str], count: int) -> Mapping[str, list[PairRatio]]:
        self.asked.append((tuple(keys), count))
        return {key: [self._one(key) for _ in range(count)] for key in keys if key in self._changes}

    def _one(self, key: str) -> PairRatio:
        number = self._given.get(key, 0)
        self._given[key] = number + 1
        script = self._changes[key]
        change = script if isinstance(script, float) else script[min(number, len(script) - 1)]
        return PairRatio(math.log1p(change) + WIGGLE[number % len(WIGGLE)], 1e6)


def subjects(*keys: str) -> dict[str, Subject]:
    return {key: Subject(group=key[0]) for key in keys}


def test_a_clear_case_stops_at_the_first_look() -> None:
    machine = Machine(a=0.0)
    made = decide(subjects("a"), machine.take, RULE)
    assert machine.asked == [(("a",), 8)]
    assert made.verdicts["a"].verdict is Verdict.SAME
    assert not made.slower


def test_only_the_undecided_are_measured_further() -> None:
    """The planned looks, and beyond them while the interval reaches past twice the target."""
    machine = Machine(a=0.0, b=[0.1, -0.1] * 40)
    made = decide(subjects("a", "b"), machine.take, RULE)
    assert machine.asked == [(("a", "b"), 8), (("b",), 4), (("b",), 6), (("b",), 6), (("b",), 12), (("b",), 12)]
    decided = made.verdicts["b"]
    assert (decided.verdict, decided.first.pairs, decided.unseen) == (Verdict.INCONCLUSIVE, 48, True)


def test_pairs_are_raised_no_further_than_asked() -> None:
    machine = Machine(b=[0.1, -0.1] * 40)
    rule = Rule(RULE.looks, most_pairs=20)
    assert decide(subjects("b"), machine.take, rule).verdicts["b"].first.pairs == 20
    assert [count for _, count in machine.asked] == [8, 4, 6, 2]


def test_an_inconclusive_with_a_short_interval_is_let_through() -> None:
    """Every third process at +5 %: not `same`, and nothing past twice the target is hidden."""
    machine = Machine(b=[0.0, 0.0, 0.05] * 10)
    decided = decide(subjects("b"), machine.take, RULE).verdicts["b"]
    assert (decided.verdict, decided.unseen, decided.first.pairs) == (Verdict.INCONCLUSIVE, False, 12)
    assert decided.first.high <= 1.06


def test_what_is_suspicious_is_decided_on_fresh_pairs() -> None:
    """At once, and on as few as can decide it alone: 2⁻¹⁰ is within what this look may spend."""
    machine = Machine(a=0.0, b=0.1)
    made = decide(subjects("a", "b"), machine.take, RULE)
    assert machine.asked == [(("a", "b"), 8), (("b",), 10)]
    decided = made.verdicts["b"]
    assert decided.verdict is Verdict.SLOWER
    assert decided.confirmation is not None
    assert (decided.first.pairs, decided.confirmation.pairs) == (8, 10)
    assert made.slower


def test_what_fresh_pairs_do_not_show_is_not_slower() -> None:
    machine = Machine(a=[0.1] * 8 + [0.0] * 20)
    made = decide(subjects("a"), machine.take, RULE)
    decided = made.verdicts["a"]
    assert (decided.verdict, made.slower) == (Verdict.SAME, False)
    assert decided.confirmation is not None
    assert (decided.first.suspect, decided.confirmation.verdict) == (Verdict.SLOWER, Verdict.SAME)


def test_a_suspicion_that_fresh_pairs_contradict_is_inconclusive() -> None:
    machine = Machine(a=[0.1] * 8 + [-0.1] * 40)
    made = decide(subjects("a"), machine.take, RULE)
    assert made.verdicts["a"].verdict is Verdict.INCONCLUSIVE
    assert not made.slower


def test_a_speed_up_needs_no_confirmation() -> None:
    machine = Machine(a=-0.1)
    assert decide(subjects("a"), machine.take, RULE).verdicts["a"].verdict is Verdict.FASTER
    assert machine.asked == [(("a",), 8)]


def test_what_cannot_be_measured_has_no_verdict() -> None:
    made = decide(subjects("a", "gone"), Machine(a=0.0).take, RULE)
    assert set(made.verdicts) == {"a"}


def test_nothing_to_decide() -> None:
    machine = Machine()
    made = decide({}, machine.take, RULE)
    assert (made.verdicts, made.groups, machine.asked) == ({}, {}, [])


class TestLargeFamilies:
    """Families of which no number of planned pairs could decide one comparison alone."""

    @pytest.mark.parametrize(
        ("size", "pairs", "change"), [(300, 16, 1.0), (40, 8, 0.5), (12, 8, 0.1), (1000, 8, 0.1), (12, 6, 0.05)]
    )
    def test_one_slow_case_is_found(self, size: int, pairs: int, change: float) -> None:
        keys = [f"{'xy'[n % 2]}{n}" for n in range(size)]
        machine = Machine(**(dict.fromkeys(keys, 0.0) | {keys[1]: change}))
        made = decide(subjects(*keys), machine.take, Rule(Looks((pairs,))))
        assert [key for key, d in made.verdicts.items() if d.verdict is Verdict.SLOWER] == [keys[1]]
        assert {g.verdict for g in made.groups.values()} <= {Verdict.SAME, Verdict.INCONCLUSIVE}

    def test_pairs_grow_with_the_suspects_and_not_with_the_family(self) -> None:
        keys = [f"x{n}" for n in range(300)]
        few, many = (dict.fromkeys(keys[:count], 0.1) for count in (1, 20))
        asked = []
        for slow in (few, many):
            machine = Machine(**(dict.fromkeys(keys, 0.0) | slow))
            made = decide(subjects(*keys), machine.take, Rule())
            assert {key for key, d in made.verdicts.items() if d.verdict is Verdict.SLOWER} == set(slow)
            asked.append(machine.asked[1])
        assert asked == [(tuple(few), 10), (tuple(many), 14)]

    def test_a_slower_implementation_is_found_by_its_geometric_mean(self) -> None:
        """Each case by 3.5 %, in noise that hides it: the mean of 20 does not."""
        keys = [f"{group}{n}" for group in "xy" for n in range(20)]
        swing = {key: [0.035 + 0.08 * (-1) ** (turn + n) for turn in range(99)] for n, key in enumerate(keys[:20])}
        machine = Machine(**(dict.fromkeys(keys, 0.0) | swing))
        made = decide(subjects(*keys), machine.take, Rule(Looks((8,)), most_pairs=8))
        assert [name for name, group in made.groups.items() if group.verdict is Verdict.SLOWER] == ["x"]
        assert {made.verdicts[key].verdict for key in keys[:20]} == {Verdict.INCONCLUSIVE}
        assert made.slower

    def test_a_group_that_is_not_slower_again_is_not_reported(self) -> None:
        keys = [f"x{n}" for n in range(30)]
        machine = Machine(**{key: [0.05] * 8 + [0.0] * 40 for key in keys})
        made = decide(subjects(*keys), machine.take, Rule(Looks((8,))))
        assert made.groups["x"].verdict is not Verdict.SLOWER
        assert not made.slower


def test_quantities_that_never_differ_are_same_and_those_that_always_do_are_not() -> None:
    """Deterministic ones, such as memory or an error, in a family with noisy ones."""
    keys = {f"b{n}#latency": 0.0 for n in range(40)} | {f"b{n}#memory": 0.0 for n in range(40)}
    machine = Machine(**keys)

    def take(asked: Sequence[str], count: int) -> Mapping[str, list[PairRatio]]:
        fixed = {key: math.log(1.5) if key == "b3#memory" else 0.0 for key in keys if key.endswith("#memory")}
        measured = machine.take([key for key in asked if key not in fixed], count)
        return measured | {key: [PairRatio(fixed[key], 1e6)] * count for key in asked if key in fixed}

    made = decide({key: Subject(group=key[-6:], benchmark=key.split("#")[0]) for key in keys}, take, Rule())
    assert [key for key, d in made.verdicts.items() if d.verdict is Verdict.SLOWER] == ["b3#memory"]
    assert {d.verdict for key, d in made.verdicts.items() if key != "b3#memory"} == {Verdict.SAME}


def simulated(
    size: int, draw: Callable[[np.random.Generator, int], Any], shift: float, seed: int, rule: Rule
) -> Decisions[str]:
    random = np.random.default_rng(seed)
    family = {f"x{n}": Subject(group=f"g{n % 3}") for n in range(size)}
    return decide(
        family,
        lambda keys, count: {key: [PairRatio(float(x) + shift, 1.0) for x in draw(random, count)] for key in keys},
        rule,
    )


@pytest.mark.parametrize("draw", [noise.normal, noise.heavy_tailed])
def test_false_alarms_of_large_noisy_families(draw: Callable[[np.random.Generator, int], Any]) -> None:
    """40 equal comparisons whose noise is as large as the target: any false `slower` in at most a tenth of alpha."""
    trials = 60
    made = [simulated(40, lambda r, n: 0.03 * draw(r, n), 0.0, seed, Rule(most_pairs=16)) for seed in range(trials)]
    alarms = sum(one.slower for one in made)
    assert stats.binomtest(alarms, trials, Rule().fresh, alternative="greater").pvalue > 1e-4


def test_families_that_are_all_at_the_target_are_not_the_same() -> None:
    """40 comparisons truly at +3 %: any `same` among them at most at what it may spend."""
    trials, rule = 60, Rule(most_pairs=16)
    made = [simulated(40, lambda r, n: 0.02 * noise.normal(r, n), math.log1p(0.03), seed, rule) for seed in range(60)]
    wrong = sum(any(d.verdict is Verdict.SAME for d in one.verdicts.values()) for one in made)
    assert stats.binomtest(wrong, trials, 0.0225, alternative="greater").pvalue > 1e-4


def test_noise_that_hits_some_of_heads_processes_is_seldom_same() -> None:
    """30 % of them by 5 %: at most twice the 5 % by which a third of the processes is missed at a look."""

    def hit(random: np.random.Generator, count: int) -> Any:
        return 0.01 * random.standard_normal(count) + math.log1p(0.05) * (random.random(count) < 0.3)

    trials = 200
    same = sum(simulated(1, hit, 0.0, seed, Rule()).verdicts["x0"].verdict is Verdict.SAME for seed in range(trials))
    assert stats.binomtest(same, trials, 0.1, alternative="greater").pvalue > 1e-4


@pytest.mark.parametrize("change", [0.03, 0.031])
def test_a_slowdown_of_the_target_is_never_same(change: float) -> None:
    assert decide(subjects("a"), Machine(a=change).take, RULE).verdicts["a"].verdict is Verdict.SLOWER
