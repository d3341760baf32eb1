"""Rounds of fresh processes: who takes part, what is stored, and that real processes are fresh and take turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench import discover
from attnlab.bench.machine.environment import describe_environment
from attnlab.bench.measuring import turn_ratios
from attnlab.bench.measuring.runner import Limits, Runner
from attnlab.bench.measuring.steps import plan, steps_of
from attnlab.bench.measuring.stopping import Effort
from attnlab.bench.measuring.suite import Bench, Suite
from attnlab.bench.measuring.turns import Round, contenders, lacking, with_turn
from attnlab.bench.store.records import Burst, HostState, Launch, Measurement, Outcome, Series, TimingRecord, Turn

from .test_runner import CEILINGS, Stage

QUIET = HostState(1e8, 1e8, 0, waited_ns=0.0)
BUSY = replace(QUIET, waited_ns=5e7)


def launch(ns: float, host: HostState = QUIET, process: int = 1) -> Launch:
    return Launch(process, (Burst(0.0, (Series("latency", "ns", "wall", "lower", (ns,) * 3),), host=host),))


def measured(
    name: str, ns: float, case_id: str = "N8", host: HostState = QUIET, stopped: str = "target"
) -> Measurement:
    timing = TimingRecord("wall", "warm", 2, 1, 1.0, True, 3, stopped)
    return Measurement(
        "toy", name, {"n": 8}, case_id, Outcome.PASSED, timing=timing, launches=(launch(ns, host),), median_ns=ns
    )


def test_those_near_the_fastest_of_each_case_take_part() -> None:
    found = contenders(
        [
            measured("a", 1e6),
            measured("b", 1.2e6),
            measured("c", 1.3e6),
            measured("d", 1e6, "N9"),
            measured("e", 2e6, "N9"),
            measured("wrong", 1e6).fail("zeros", outcome=Outcome.WRONG_VALUES),
        ]
    )
    assert [[m.implementation for m in case] for case in found] == [["a", "b"]], "d has nothing near it"


def test_one_that_was_held_up_may_be_nearer_than_it_looks() -> None:
    (case,) = contenders([measured("a", 1e6), measured("held", 4e6, host=BUSY), measured("far", 4e6)])
    assert [m.implementation for m in case] == ["a", "held"]


def test_what_took_turns_in_one_process_has_none_in_fresh_ones() -> None:
    assert contenders([measured(name, 1e6, stopped="number of rounds") for name in "ab"]) == []


def test_what_has_all_its_turns_takes_none_again() -> None:
    done = [replace(measured(name, 1e6), turns=(Turn(1, launch(1e6)),)) for name in "ab"]
    assert lacking([done], 1) == []
    assert lacking([done], 2) == [done]


def test_a_result_that_is_wrong_in_a_fresh_process_is_wrong() -> None:
    """What skips its work where it thinks itself unchecked gets no time."""
    wrong = measured("a", 1e6).fail("zeros", outcome=Outcome.WRONG_VALUES)
    found = with_turn(measured("a", 1e6), 3, wrong)
    assert (found.outcome, found.median_ns, found.timing, found.launches) == (Outcome.WRONG_VALUES, None, None, ())
    assert found.reason == "in round 3 of its turns in fresh processes: zeros"


def test_a_process_that_is_lost_costs_its_turn() -> None:
    lost = replace(measured("a", 1e6).fail("the process was killed"), launches=())
    found = with_turn(measured("a", 1e6), 3, lost)
    assert (found.outcome, found.median_ns, found.turns) == (Outcome.PASSED, 1e6, ())
    assert found.flags == ("a turn is missing (in round 3 of its turns in fresh processes: the process was killed)",)


def test_the_ratio_is_of_the_rounds_that_both_have() -> None:
    fast = replace(measured("a", 1e6), turns=tuple(Turn(n, launch(1e6 * n)) for n in range(1, 9)))
    slow = replace(measured("b", 9e6), turns=tuple(Turn(n, launch(1.1e6 * n)) for n in range(2, 10)))
    found = turn_ratios.turned_ratio(slow, fast)
    assert found is not None
    assert (found.rounds, found.median, found.low) == (7, pytest.approx(1.1), pytest.approx(1.1))
    assert turn_ratios.turned_ratio(slow, measured("c", 1e6)) is None


@pytest.mark.parametrize(("ns", "words"), [(1.05e6, None), (1.2e6, "(1.20 ms in 6 fresh processes)"), (5e5, "(500 µs")])
def test_a_process_that_was_not_as_others_are_is_told(ns: float, words: str | None) -> None:
    m = replace(measured("a", 1e6), turns=tuple(Turn(n, launch(ns)) for n in range(6)))
    notes = turn_ratios.far_off(m)
    assert [words in note for note in notes if words] == ([True] if words else [])
    assert bool(notes) is (words is not None)


class Scripted:
    """Stands in for workers; it notes who is asked for what."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def start(self) -> None: ...

    def wait(self) -> None: ...

    def close(self) -> None: ...

    def open(self, case_id: str, blank: Measurement) -> Measurement:
        self._said.append(f"open {blank.implementation}")
        return replace(blank, outcome=Outcome.PASSED)

    def burst(self, case_id: str, blank: Measurement) -> Measurement:
        self._said.append(blank.implementation)
        return replace(blank, outcome=Outcome.PASSED)

    finish = burst


@pytest.mark.parametrize(
    ("number", "order"),
    [
        (1, "open b, open a, b, a, a, b, b, a, a, b, b, a"),
        (2, "open a, open b, a, b, b, a, a, b, b, a, a, b"),
    ],
)
def test_a_round_begins_with_either(number: int, order: str) -> None:
    """Who is opened first goes first, is last after all bursts, and is finished first."""
    said: list[str] = []
    hand: Any = Scripted(said)
    Round(number, lambda m: hand).take([[measured("a", 1e6), measured("b", 1e6)]])
    assert ", ".join(said) == order


def test_real_processes_are_fresh_each_round(
    plugins_forgotten: None, helpers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plugins = (str(helpers / "toy_operator.py"),)
    known = discover(plugins)
    effort = Effort(0.9, 0.02, 0.02, turns=1)
    runner = Runner(known, describe_environment("cpu"), CEILINGS, effort, Limits(60.0), plugins)
    parse = known.operators.get("toy").case_type.parse
    suite = Suite("s", (Bench("toy", (parse("N512"),), ("plus", "times")),))

    class Turning(Stage):
        def turn(self, number: int, rounds: int, measurement: Measurement) -> None:
            self.said.append(f"turn {number} of {rounds}: {measurement.case_id}")

    stage = Turning()
    monkeypatch.setattr("attnlab.bench.measuring.turns.NEAR", 1e9)
    found = list(runner.run(steps_of(plan(suite, known), known), stage, stage))
    last = {m.implementation: m for m in found}
    assert [m.implementation for m in found] == ["plus", "times"] * 2, "stored again with their turns"
    assert stage.said.count("turn 1 of 1: N512") == 1
    processes = {t.launch.process for m in last.values() for t in m.turns} | {
        m.launches[0].process for m in last.values()
    }
    assert len(processes) == 4
    bursts = {name: [burst.started_s for burst in m.turns[0].launch.bursts if burst.host] for name, m in last.items()}
    order = sorted((started, name) for name, times in bursts.items() for started in times)
    assert [name for _, name in order] == ["plus", "times", "times", "plus", "plus", "times", "times", "plus"] or [
        name for _, name in order
    ] == ["times", "plus", "plus", "times", "times", "plus", "plus", "times"]
    assert all(
        "peak_memory" not in {s.quantity for s in b.series} for m in last.values() for b in m.turns[0].launch.bursts
    )
