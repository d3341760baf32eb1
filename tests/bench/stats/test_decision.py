"""Decisions from scripted pairs: early stops, confirmation, groups, and what cannot be measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest

from attnlab.bench.stats.decision import PairRatio, Subject, decide
from attnlab.bench.stats.sequential import Looks
from attnlab.bench.stats.verdict import Rule, Verdict

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
    machine = Machine(a=0.0, b=[0.1, -0.1] * 20)
    made = decide(subjects("a", "b"), machine.take, RULE)
    assert machine.asked == [(("a", "b"), 8), (("b",), 4)]
    assert made.verdicts["b"].verdict is Verdict.INCONCLUSIVE
    assert made.verdicts["b"].first.pairs == 12


def test_a_failure_is_confirmed_on_pairs_of_its_own() -> None:
    machine = Machine(a=0.0, b=0.1)
    made = decide(subjects("a", "b"), machine.take, RULE)
    assert machine.asked == [(("a", "b"), 8), (("b",), 8)]
    decided = made.verdicts["b"]
    assert decided.verdict is Verdict.SLOWER
    assert decided.confirmation is not None
    assert decided.confirmation.pairs == decided.first.pairs == 8
    assert made.slower


def test_a_failure_that_is_not_confirmed_is_inconclusive() -> None:
    machine = Machine(a=[0.1] * 8 + [0.0] * 20)
    decided = decide(subjects("a"), machine.take, RULE).verdicts["a"]
    assert decided.verdict is Verdict.INCONCLUSIVE
    assert decided.first.verdict is Verdict.SLOWER
    assert decided.confirmation is not None
    assert decided.confirmation.verdict is Verdict.SAME


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
    """40 benchmarks of two implementations: 8 pairs cannot decide one of 40 alone at 0.025 / 40."""

    rule = Rule(Looks((8,)))
    keys = tuple(f"{group}{n}" for group in "xy" for n in range(20))

    def decided(self, **changes: float) -> tuple[Machine, object]:
        machine = Machine(**(dict.fromkeys(self.keys, 0.0) | changes))
        return machine, decide(subjects(*self.keys), machine.take, self.rule)

    def test_a_slower_implementation_is_found_by_its_geometric_mean(self) -> None:
        machine, made = self.decided(**{f"x{n}": 0.05 for n in range(20)})
        assert made.groups["x"].verdict is Verdict.SLOWER  # type: ignore[attr-defined]
        assert made.groups["y"].verdict is Verdict.SAME  # type: ignore[attr-defined]
        assert [set(keys) for keys, _ in machine.asked] == [set(self.keys), {k for k in self.keys if k[0] == "x"}]
        assert made.slower  # type: ignore[attr-defined]

    def test_one_slow_case_of_a_group_is_not_hidden_as_same(self) -> None:
        _, made = self.decided(x3=0.05)
        assert made.verdicts["x3"].verdict is Verdict.INCONCLUSIVE  # type: ignore[attr-defined]
        assert made.verdicts["x4"].verdict is Verdict.SAME  # type: ignore[attr-defined]

    def test_a_confirmed_group_names_its_slow_members(self) -> None:
        """Within a slower group of 3, members are judged with what three comparisons leave."""
        keys = tuple(f"{group}{n}" for group in "abcdefghij" for n in range(3))
        slow = {f"a{n}": 0.2 for n in range(3)}
        machine = Machine(**(dict.fromkeys(keys, 0.0) | slow))
        made = decide(subjects(*keys), machine.take, Rule(Looks((8, 9)), 0.1))
        assert made.groups["a"].verdict is Verdict.SLOWER
        assert {made.verdicts[key].verdict for key in slow} == {Verdict.SLOWER}
        assert {d.verdict for key, d in made.verdicts.items() if key[0] != "a"} == {Verdict.SAME}


def test_a_group_that_is_not_slower_again_is_not_reported() -> None:
    keys = [f"x{n}" for n in range(30)]
    machine = Machine(**{key: [0.05] * 8 + [0.0] * 8 for key in keys})
    made = decide(subjects(*keys), machine.take, Rule(Looks((8,))))
    assert made.groups["x"].verdict is Verdict.INCONCLUSIVE
    assert not made.slower


@pytest.mark.parametrize("change", [0.03, 0.031])
def test_a_slowdown_of_the_target_is_never_same(change: float) -> None:
    assert decide(subjects("a"), Machine(a=change).take, RULE).verdicts["a"].verdict is Verdict.SLOWER
