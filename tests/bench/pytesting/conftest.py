"""Inner pytest sessions in this process, whose workers are simulated: real ones would cost seconds each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo  # inner sessions forget what they imported, and this cannot be imported twice

from attnlab.bench.contract.registry import registry
from attnlab.bench.measuring import runner
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.settlement import with_times
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.timing import Effort, time_calls
from attnlab.bench.measuring.worker import WorkerOrder
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Measurement, Outcome

SAMPLES_NS = {"plus": (1000.0, 1100.0, 900.0, 1003.0), "times": (2000.0, 2100.0)}
OTHERS_NS = (5000.0,)
LIGHTLY = ("-p", "no:hypothesispytest", "-p", "no:timeout", "-p", "no:xdist")  # plugins that cost seconds to import
LIGHT = Ceilings("processor", 1, 1e10, {"float32": 1e11}, None, 0.0)


@dataclass
class Workers:
    """What simulated workers were asked for, in order; `slower` stretches all that they time."""

    make_clock: Callable[..., Any]
    orders: list[WorkerOrder] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    slower: float = 1.0

    def worker(self, order: WorkerOrder, time_limit_s: float, settles: object, begin: object) -> Worker:
        self.orders.append(order)
        self.said.append(f"{order.implementation} starts")
        return Worker(self, order)


@dataclass
class Worker:
    """Checks for real, in this process; its times are made up."""

    workers: Workers
    order: WorkerOrder

    def run(self, case_id: str, blank: Measurement, on_phase: Callable[[str], None]) -> Measurement:
        self.workers.said.append(f"{self.order.implementation} measures {case_id}")
        operator = registry.operators.get(blank.operator)
        implementation = registry.implementations(blank.operator).get(blank.implementation)
        setup = Setup(torch.device("cpu"), (), LIGHT, untimed=self.order.untimed or "made up below")
        checked = measure(operator, operator.case_type.parse(case_id), implementation, setup)
        if checked.outcome is not Outcome.PASSED or checked.untimed != "made up below":
            return checked
        times_ns = SAMPLES_NS.get(blank.implementation, OTHERS_NS)
        clock = self.workers.make_clock([self.workers.slower * time for time in times_ns], "wall")
        timed = time_calls([lambda: None], [clock], Effort(0.9, max_samples=len(times_ns), min_samples=1))
        return with_times(replace(checked, untimed=None), timed, LIGHT)

    def close(self) -> None:
        self.workers.said.append(f"{self.order.implementation} ends")


@dataclass(frozen=True)
class Sessions:
    """Starts inner sessions in a folder with the suite `toys.toml` and its plugins."""

    pytester: pytest.Pytester
    workers: Workers
    forgetting: Callable[[], AbstractContextManager[None]]

    def run(self, *arguments: str | Path) -> pytest.RunResult:
        """`pytest …` as a user would type it."""
        with self.forgetting():
            return self.pytester.runpytest_inprocess(*LIGHTLY, *arguments)

    def suite(self, *arguments: str | Path, target: str = "toys.toml", plugin: str = "outcomes.py") -> pytest.RunResult:
        """With a suite of `toy`: of `plus` and `times`, and with `outcomes.py` of four others."""
        plugins = ("--attnlab-plugin", "toy_operator.py", "--attnlab-plugin", plugin)
        return self.run("--attnlab", target, *plugins, *arguments)

    def benchmarks(self, *arguments: str | Path) -> dict[str, Any]:
        """What pytest-benchmark writes of a suite as JSON, by name of the test."""
        self.suite("--benchmark-json=out.json", *arguments)
        return read_benchmarks(self.pytester.path / "out.json")


def read_benchmarks(path: Path) -> dict[str, Any]:
    return {found["name"]: found for found in json.loads(path.read_text())["benchmarks"]}


@pytest.fixture
def sessions(
    plugins_forgotten: None,  # imports all there is, before pytester notes what is imported
    forgetting: Callable[[], AbstractContextManager[None]],
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    ceilings_cache: Path,
    fake_clock: Callable[..., Any],
    helpers: Path,
) -> Iterator[Sessions]:
    pytest.importorskip("pytest_benchmark", reason="package pytest-benchmark is not installed")
    workers = Workers(fake_clock)
    monkeypatch.setattr(runner, "Worker", workers.worker)
    monkeypatch.setattr(runner.Judge, "start", lambda judge: None)  # nobody hands outputs over
    monkeypatch.setenv("XDG_CACHE_HOME", str(ceilings_cache))
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "ATTNLAB_NO_SKIPS"):
        monkeypatch.delenv(name, raising=False)  # this suite may itself run under xdist
    for name in ("toy_operator.py", "outcomes.py", "toys.toml"):
        shutil.copy(helpers / name, pytester.path)
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config\n")
    threads = torch.get_num_threads()
    yield Sessions(pytester, workers, forgetting)
    torch.set_num_threads(threads)
