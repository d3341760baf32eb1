"""Runs a plan: every implementation on every case, each in its worker, appended to the run as it comes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from attnlab.bench import availability
from attnlab.bench.axes import Case
from attnlab.bench.environment import Environment
from attnlab.bench.fingerprint import fingerprint
from attnlab.bench.isolation import Worker
from attnlab.bench.registry import Implementation, Registry
from attnlab.bench.roofline import Ceilings
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import BenchRecord, Measurement, Outcome
from attnlab.bench.suite import Suite
from attnlab.bench.timing import Effort
from attnlab.bench.worker import WorkerOrder

MEMORY_SHARE = 0.8  # of what is available now, for one worker


@dataclass(frozen=True)
class Step:
    """One implementation on one case."""

    operator: str
    implementation: str
    case: Case

    @property
    def key(self) -> tuple[str, str, str]:
        return self.operator, self.implementation, self.case.id


@dataclass(frozen=True)
class Limits:
    """What one worker may take: seconds for a case, bytes of memory (None: a share of what is free)."""

    time_s: float = 120.0
    memory_bytes: int | None = None


class Progress(Protocol):
    """Told what is running; a terminal shows a bar, a log a line."""

    def begin(self, step: Step) -> None: ...

    def phase(self, step: Step, phase: str) -> None: ...

    def end(self, step: Step, measurement: Measurement) -> None: ...


class Sink(Protocol):
    def append(self, measurement: Measurement) -> None: ...


def plan(suite: Suite, registry: Registry, only: tuple[str, ...] = ()) -> list[BenchRecord]:
    """The benches of a suite with their implementations written out; `only` narrows them.

    A name in `only` must be an implementation of at least one of the operators.
    """
    known = {name for bench in suite.benches for name in registry.implementations(bench.operator).names()}
    for name in only:
        if name not in known:
            registry.implementations(suite.benches[0].operator).get(name)
    benches = []
    for bench in suite.benches:
        table = registry.implementations(bench.operator)
        names = [n for n in bench.implementations or sorted(table.names()) if not only or n in only]
        baseline = bench.baseline if bench.baseline in names else None
        benches.append(
            BenchRecord(bench.operator, tuple(names), baseline, tuple(case.id for case in bench.cases))
        )
    return benches


def steps_of(benches: list[BenchRecord], registry: Registry) -> list[Step]:
    """All steps, case by case, so that the implementations of a case are measured within moments."""
    steps: dict[tuple[str, str, str], Step] = {}
    for bench in benches:
        parse = registry.operators.get(bench.operator).case_type.parse
        for case in map(parse, bench.cases):
            for name in bench.implementations:
                step = Step(bench.operator, name, case)
                steps[step.key] = step
    return list(steps.values())


@dataclass
class Runner:
    """Takes steps to measurements; workers live until `close`."""

    registry: Registry
    environment: Environment
    ceilings: Ceilings
    effort: Effort
    limits: Limits
    plugins: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        self._workers: dict[tuple[str, str], Worker] = {}

    def run(self, steps: list[Step], sink: Sink, progress: Progress) -> Iterator[Measurement]:
        """Measure each step, store it, yield it; the workers end with the generator."""
        with tempfile.TemporaryDirectory(prefix="attnlab-") as folder:
            try:
                for step in steps:
                    progress.begin(step)
                    measured = self._measure(step, Path(folder), progress)
                    sink.append(measured)
                    progress.end(step, measured)
                    yield measured
            finally:
                for worker in self._workers.values():
                    worker.close()

    def _measure(self, step: Step, folder: Path, progress: Progress) -> Measurement:
        operator = self.registry.operators.get(step.operator)
        implementation = self.registry.implementations(step.operator).get(step.implementation)
        blank = Measurement(
            operator=step.operator,
            implementation=step.implementation,
            case=step.case.values(),
            case_id=step.case.id,
            outcome=Outcome.UNAVAILABLE,
            reason=availability.missing(implementation, self.environment.device),
            fingerprint=fingerprint(implementation),
            operations=operator.operations(step.case),
            bytes_moved=operator.bytes_moved(step.case),
        )
        if blank.reason is not None:
            return blank
        worker = self._workers.get((step.operator, step.implementation))
        if worker is None:
            worker = Worker(self._order(implementation, folder), self.limits.time_s)
            self._workers[step.operator, step.implementation] = worker
        return worker.run(step.case.id, blank, lambda phase: progress.phase(step, phase))

    def _order(self, implementation: Implementation, folder: Path) -> WorkerOrder:
        limit = self.limits.memory_bytes
        if limit is None and self.environment.device.kind == "cpu":
            limit = int(MEMORY_SHARE * psutil.virtual_memory().available)
        ceilings: Mapping[str, Any] = encode(self.ceilings)
        return WorkerOrder(
            operator=implementation.operator,
            implementation=implementation.name,
            plugins=self.plugins,
            device=self.environment.device.kind,
            effort=asdict(self.effort),
            ceilings=dict(ceilings),
            seed=self.seed,
            memory_limit_bytes=limit,
            shared_folder=str(folder),
        )
