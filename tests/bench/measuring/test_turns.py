"""Tables whose implementations and cases take turns: the order, what fails meanwhile, and that bursts are paired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench import Registry, discover
from attnlab.bench.machine.environment import describe_environment
from attnlab.bench.measuring import runner
from attnlab.bench.measuring.runner import Limits, Runner
from attnlab.bench.measuring.steps import Step, plan, steps_of
from attnlab.bench.measuring.suite import Bench, Suite
from attnlab.bench.measuring.suite_file import load_suite
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.measuring.worker import WorkerOrder
from attnlab.bench.stats.rounds import RoundFigure, took_turns
from attnlab.bench.store.records import Measurement, Outcome

from .test_runner import CEILINGS, ENVIRONMENT, Stage

LITTLE = Effort(warmup_limit_s=0.01)
DYING = """
import os
from attnlab.bench import implements

calls = 0

@implements("toy", name="dies")
def dies(inputs):
    '''Ends its process in the second round.'''
    global calls
    calls += 1
    if calls > 10:
        os._exit(3)
    return inputs.x * 2
"""


class Turns(Stage):
    """Scripted workers that can be measured in turn; `failing` fails in its second burst."""

    failing = ""

    def worker(self, order: WorkerOrder, time_limit_s: float, settles: object, begin: object) -> Turns.Hand:  # type: ignore[override]
        return Turns.Hand(self, order)

    class Hand:
        def __init__(self, stage: Turns, order: WorkerOrder) -> None:
            self.stage, self.name, self.bursts = stage, order.implementation, 0

        def start(self) -> None: ...

        def wait(self) -> None: ...

        def close(self) -> None: ...

        def open(self, case_id: str, blank: Measurement, on_phase: Callable[[str], None]) -> Measurement:
            self.stage.said.append(f"open {self.name} {case_id}")
            return replace(blank, outcome=Outcome.PASSED)

        def burst(self, case_id: str, blank: Measurement) -> Measurement:
            self.stage.said.append(f"burst {self.name} {case_id}")
            self.bursts += 1
            broken = self.name == self.stage.failing and self.bursts == 2
            return replace(blank, outcome=Outcome.FAILED if broken else Outcome.PASSED)

        def finish(self, case_id: str, blank: Measurement, on_phase: Callable[[str], None]) -> Measurement:
            self.stage.said.append(f"finish {self.name} {case_id}")
            return replace(blank, outcome=Outcome.PASSED)


@pytest.fixture
def registry(plugins_forgotten: None, helpers: Path) -> Registry:
    return discover((str(helpers / "toy_operator.py"),))


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    made = Turns()
    monkeypatch.setattr(runner, "Worker", made.worker)
    monkeypatch.setattr(runner, "Judge", lambda order: made.Judge(made))
    return made


def steps(registry: Registry, names: tuple[str, ...], cases: tuple[str, ...], rounds: int) -> list[Step]:
    parse = registry.operators.get("toy").case_type.parse
    suite = Suite("s", (Bench("toy", tuple(map(parse, cases)), names, None, rounds),))
    return steps_of(plan(suite, registry), registry)


def scripted(registry: Registry) -> Runner:
    return Runner(registry, ENVIRONMENT, CEILINGS, Effort(), Limits(), ("toy_operator.py",))


def test_everything_is_opened_then_takes_turns_to_and_fro_then_is_finished(registry: Registry, turns: Turns) -> None:
    found = list(scripted(registry).run(steps(registry, ("plus", "times"), ("N4",), 2), turns, turns))
    done = [said for said in turns.said if said.split()[0] in ("open", "burst", "finish")]
    assert done == [
        "open plus N4",
        "open times N4",
        "burst plus N4",
        "burst times N4",
        "burst times N4",
        "burst plus N4",
        "finish plus N4",
        "finish times N4",
    ]
    assert [m.implementation for m in found] == ["plus", "times"]
    assert "phase round 2 of 2" in turns.said


def test_what_fails_in_its_turn_is_stored_at_once_and_out(registry: Registry, turns: Turns) -> None:
    turns.failing = "plus"
    found = list(scripted(registry).run(steps(registry, ("plus", "times"), ("N4",), 4), turns, turns))
    assert [(m.implementation, m.outcome) for m in found] == [("plus", Outcome.FAILED), ("times", Outcome.PASSED)]
    assert turns.said.count("burst plus N4") == 2
    assert turns.said.count("burst times N4") == 4
    assert "finish plus N4" not in turns.said


def bursts(measurement: Measurement) -> list[RoundFigure]:
    taken = [burst for launch in measurement.launches for burst in launch.bursts]
    return [RoundFigure(burst.started_s, 1.0) for burst in taken if burst.series[0].quantity == "latency"]


def test_real_processes_take_turns_and_one_that_dies_ends_nobody_elses(
    registry: Registry, helpers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "dying.py").write_text(DYING)
    plugins = (str(helpers / "toy_operator.py"), str(tmp_path / "dying.py"))
    known = discover(plugins)
    made = Runner(known, describe_environment("cpu"), CEILINGS, LITTLE, Limits(60.0), plugins)
    stage = Stage()
    asked = steps(known, ("plus", "dies"), ("N512", "N2048"), 3)
    found = {(m.implementation, m.case_id): m for m in made.run(asked, stage, stage)}
    small, large = found["plus", "N512"], found["plus", "N2048"]
    assert (small.outcome, large.outcome) == (Outcome.PASSED, Outcome.PASSED)
    assert len(bursts(small)) == len(bursts(large)) == 3
    assert took_turns(bursts(small), bursts(large))
    assert small.timing is not None
    assert small.timing.stopped == "number of rounds"
    assert not any("warm-up" in flag or "sampling ended" in flag for flag in small.flags)
    ends = {found["dies", case].reason for case in ("N512", "N2048")}
    assert any("ended with exit code 3" in (reason or "") for reason in ends)
    assert found["dies", "N512"].outcome is found["dies", "N2048"].outcome is Outcome.FAILED


SUITE = '[[bench]]\noperator = "toy"\nimplementations = ["plus"]\ncases = ["N4"]\nrounds = {}\n'


def test_a_suite_says_how_many_rounds(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "turns.toml"
    path.write_text(SUITE.format(6))
    suite = load_suite(path, registry, {"n": 8})
    assert [bench.rounds for bench in suite.benches] == [6], "with other axes too"
    assert [record.rounds for record in plan(suite, registry)] == [6]
    path.write_text(SUITE.replace("rounds = {}\n", ""))
    assert [bench.rounds for bench in load_suite(path, registry).benches] == [0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("-1", "got rounds = -1; expected 1 to 1000"),
        ("5000", "got rounds = 5000"),
        ('"six"', "got rounds = 'six'; expected a whole number"),
    ],
)
def test_rounds_that_cannot_be(registry: Registry, tmp_path: Path, given: Any, said: str) -> None:
    path = tmp_path / "turns.toml"
    path.write_text(SUITE.format(given))
    with pytest.raises(Exception, match=r"turns\.toml:5: ") as raised:
        load_suite(path, registry)
    assert said in str(raised.value)
