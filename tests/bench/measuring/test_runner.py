"""The runner: which worker gets which case, what is stored when, and that no worker is left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attnlab.bench import Needs, Registry, discover, implements
from attnlab.bench.measuring import runner
from attnlab.bench.measuring.runner import Limits, Runner
from attnlab.bench.measuring.steps import Step
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.measuring.worker import WorkerOrder
from attnlab.bench.store.machine import Ceilings, Device, Environment
from attnlab.bench.store.records import Measurement, Outcome

ENVIRONMENT = Environment(
    device=Device("cpu", "processor"),
    processor="processor",
    cores=2,
    affinity=(),
    threads=2,
    memory_bytes=1,
    system="",
    python="",
    packages={},
    governor=None,
    load_average=None,
    variables={},
    revision=None,
    dirty=None,
)
CEILINGS = Ceilings("processor", 2, 1e10, {"float32": 1e11}, None, 0.0)


class Stage:
    """A worker that measures nothing, and everything that happens in order."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.orders: list[WorkerOrder] = []

    def worker(self, order: WorkerOrder, time_limit_s: float, settles: object, begin: object) -> Stage.Worker:
        self.orders.append(order)
        return Stage.Worker(self, order, time_limit_s)

    class Worker:
        def __init__(self, stage: Stage, order: WorkerOrder, time_limit_s: float) -> None:
            self.stage, self.order, self.time_limit_s = stage, order, time_limit_s

        def start(self) -> None:
            self.stage.said.append(f"{self.order.implementation} starts")

        def wait(self) -> None:
            self.stage.said.append(f"{self.order.implementation} is ready")

        def run(self, case_id: str, blank: Measurement, on_phase: Callable[[str], None]) -> Measurement:
            assert Path(self.order.outputs).parent.is_dir()
            on_phase("timing")
            self.stage.said.append(f"{self.order.implementation} measures {case_id}")
            return replace(blank, outcome=Outcome.PASSED, median_ns=self.time_limit_s)

        def close(self) -> None:
            self.stage.said.append(f"{self.order.implementation} closed")

    class Judge:
        device = "cpu"

        def __init__(self, stage: Stage) -> None:
            self.stage = stage

        def start(self) -> None:
            self.stage.said.append("judge starts")

        def wait(self) -> None:
            self.stage.said.append("judge is ready")

        def close(self) -> None: ...

    def begin(self, step: Step) -> None:
        self.said.append(f"begin {step.implementation} {step.case.id}")

    def phase(self, step: Step, phase: str) -> None:
        self.said.append(f"phase {phase}")

    def append(self, measurement: Measurement) -> None:
        self.said.append(f"store {measurement.implementation} {measurement.case_id}")

    def end(self, step: Step, measurement: Measurement) -> None:
        self.said.append(f"end {measurement.outcome.value}")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(runner, "Worker", made.worker)
    monkeypatch.setattr(runner, "Judge", lambda order: made.Judge(made))
    monkeypatch.setattr(runner, "free_memory_bytes", lambda: 10 << 30)
    return made


@pytest.fixture
def registry(plugins_forgotten: None, helpers: Path) -> Registry:
    return discover((str(helpers / "toy_operator.py"),))


def make_runner(registry: Registry, **options: Any) -> Runner:
    defaults = {"limits": Limits(time_s=7.0), "plugins": ("toy_operator.py",)}
    return Runner(registry, ENVIRONMENT, CEILINGS, Effort(), **(defaults | options))


def step(registry: Registry, name: str, case: str) -> Step:
    return Step("toy", name, registry.operators.get("toy").case_type.parse(case))


def test_each_measurement_is_stored_before_the_next_begins(registry: Registry, stage: Stage) -> None:
    steps = [step(registry, name, case) for case in ("N4", "N8") for name in ("plus", "times")]
    measured = list(make_runner(registry).run(steps, stage, stage))
    assert [m.case_id for m in measured] == ["N4", "N4", "N8", "N8"]
    assert stage.said[:6] == [
        "plus starts",
        "times starts",
        "judge starts",
        "plus is ready",
        "times is ready",
        "judge is ready",
    ], "all at once"
    assert stage.said[6:16] == [
        "begin plus N4",
        "phase timing",
        "plus measures N4",
        "store plus N4",
        "end passed",
        "begin times N4",
        "phase timing",
        "times measures N4",
        "store times N4",
        "end passed",
    ]
    assert stage.said[-2:] == ["plus closed", "times closed"]
    assert [order.implementation for order in stage.orders] == ["plus", "times"], "one worker each"


def test_an_order_says_all_that_a_worker_needs(registry: Registry, stage: Stage) -> None:
    (measured,) = make_runner(registry, seed=3, cache="hot").run([step(registry, "plus", "N4")], stage, stage)
    (order,) = stage.orders
    assert order.cache == "hot"
    assert (order.operator, order.implementation, order.module) == ("toy", "plus", "toy_operator")
    assert (order.plugins, order.device, order.seed) == (("toy_operator.py",), "cpu", 3)
    assert order.memory_limit_bytes == 8 << 30, "a share of what is free"
    assert order.effort["target"] == Effort().target
    assert order.ceilings["rates"] == {"float32": 1e11}
    assert not Path(order.outputs).parent.exists(), "it ends with the run"
    assert measured.median_ns == 7.0, "the time limit is the runner's"
    assert (measured.operations, measured.bytes_moved) == (4, 32)
    assert measured.fingerprint


@pytest.mark.parametrize(("kind", "asked", "limit"), [("cpu", 5, 5), ("cuda", None, None), ("cuda", 5, 5)])
def test_memory_is_limited_as_asked(
    registry: Registry, stage: Stage, kind: str, asked: int | None, limit: int | None
) -> None:
    made = make_runner(registry, limits=Limits(memory_bytes=asked))
    made.environment = replace(ENVIRONMENT, device=Device(kind, "x", (9, 0)))
    list(made.run([step(registry, "plus", "N4")], stage, stage))
    assert stage.orders[0].memory_limit_bytes == limit


def test_a_worker_may_always_take_what_importing_torch_takes(
    registry: Registry, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "free_memory_bytes", lambda: 0)
    list(make_runner(registry).run([step(registry, "plus", "N4")], stage, stage))
    assert stage.orders[0].memory_limit_bytes == 1 << 30


def test_what_is_unavailable_starts_no_worker(registry: Registry, stage: Stage) -> None:
    implements("toy", name="elsewhere", needs=Needs(device="cuda"))(lambda inputs: inputs)
    (measured,) = make_runner(registry).run([step(registry, "elsewhere", "N4")], stage, stage)
    assert (measured.outcome, measured.reason) == (Outcome.UNAVAILABLE, "needs an NVIDIA GPU")
    assert stage.orders == []
    assert "store elsewhere N4" in stage.said


def test_a_contract_that_fails_does_not_end_the_run(registry: Registry, stage: Stage) -> None:
    def fails(case: Any) -> int:
        raise ZeroDivisionError("no formula")

    toy = registry.operators.get("toy")
    registry.operators.discard("toy")
    registry.operators.add("toy", replace(toy, operations=fails), __name__)
    (measured,) = make_runner(registry).run([step(registry, "plus", "N4")], stage, stage)
    assert (measured.outcome, measured.reason) == (Outcome.FAILED, "ZeroDivisionError: no formula")
    assert not [said for said in stage.said if "measures" in said]


def test_workers_end_where_the_run_is_given_up(registry: Registry, stage: Stage) -> None:
    running = make_runner(registry).run([step(registry, "plus", n) for n in ("N4", "N8")], stage, stage)
    next(running)
    running.close()
    assert stage.said[-1] == "plus closed"
    assert "plus measures N8" not in stage.said


def test_workers_end_where_nothing_can_be_stored(
    registry: Registry, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Stage):
        def append(self, measurement: Measurement) -> None:
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        list(make_runner(registry).run([step(registry, "plus", "N4")], Full(), stage))
    assert stage.said[-1] == "plus closed"


def test_a_second_run_starts_afresh(registry: Registry, stage: Stage) -> None:
    made = make_runner(registry)
    for _ in range(2):
        list(made.run([step(registry, "plus", "N4")], stage, stage))
    assert len(stage.orders) == 2
    assert stage.orders[0].outputs != stage.orders[1].outputs
