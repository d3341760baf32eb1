"""Measures the suites of a session: one worker an implementation, kept over the tests of its suite."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from attnlab.bench.analysis.metrics import with_remarks
from attnlab.bench.contract import needs
from attnlab.bench.contract.metric import Row
from attnlab.bench.contract.registry import Registry, discover
from attnlab.bench.errors import AttnlabError, UsageError
from attnlab.bench.machine.environment import choose_device, describe_device
from attnlab.bench.measuring.draft import choose_suite, draft_run
from attnlab.bench.measuring.runner import Limits, Measure, Runner
from attnlab.bench.measuring.settings import kept_settings
from attnlab.bench.measuring.steps import Step, plan, steps_of
from attnlab.bench.measuring.suite import Suite, make_effort
from attnlab.bench.pytesting.options import Options, command_line
from attnlab.bench.store.records import BenchRecord, RunRecord
from attnlab.bench.store.run_folder import RunWriter, check_writable
from attnlab.bench.text import message_of


@dataclass(frozen=True)
class PlannedSuite:
    """A suite that was asked for as `target`, and what there is to measure of it; path is its file, if it has one."""

    target: str
    path: Path | None
    suite: Suite
    benches: tuple[BenchRecord, ...]
    steps: tuple[Step, ...]


class Lab:
    """Plans at once, measures when asked. Raises UsageError where nothing of a suite can be measured here."""

    def __init__(self, options: Options, command: str) -> None:
        self._options, self._command = options, command
        self._registry = discover(options.plugins, kept_settings)
        self._device = choose_device(options.device)
        self.planned = tuple(self._plan(target) for target in options.suites)
        self._running: _Running | None = None
        if options.out is not None:
            check_writable(options.out)

    def measure(self, planned: PlannedSuite, step: Step, untimed: str | None) -> Row:
        """Check one implementation on one case, and time it unless there is a reason not to."""
        if self._running is None or self._running.planned is not planned:
            self.close()
            self._running = self._start(planned, untimed)
        return self._running.measure(step)

    @property
    def folder(self) -> Path | None:
        """Where the current run is stored."""
        return None if self._running is None else self._running.folder

    def close(self) -> None:
        """End the workers."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def _plan(self, target: str) -> PlannedSuite:
        suite = choose_suite(target, self._registry)
        benches = tuple(plan(suite, self._registry))
        _something_available(suite, benches, self._registry, self._device)
        known = self._registry.suites
        path = Path(target) if target.endswith(".toml") else known.get(target) if target in known else None
        return PlannedSuite(target, path, suite, benches, tuple(steps_of(list(benches), self._registry)))

    def _start(self, planned: PlannedSuite, untimed: str | None) -> _Running:
        plugins = self._options.plugins
        run = draft_run(planned.suite, planned.benches, self._device, self._command, plugins, timed=untimed is None)
        runner = Runner(
            self._registry,
            run.environment,
            run.ceilings,
            make_effort(run.effort),
            Limits(),
            plugins,
            run.drawn_from,
            untimed,
            run.cache,
        )
        return _Running(planned, run, runner, self._options.out)


class _Running:
    """A suite whose workers are alive."""

    def __init__(self, planned: PlannedSuite, run: RunRecord, runner: Runner, out: Path | None) -> None:
        self.planned = planned
        self._run = run
        self._open = ExitStack()
        self._writer = None if out is None else self._open.enter_context(closing(RunWriter.create(out, run)))
        self._measure: Measure = self._open.enter_context(runner.workers())

    @property
    def folder(self) -> Path | None:
        return None if self._writer is None else self._writer.folder

    def measure(self, step: Step) -> Row:
        measured = self._measure(step, lambda phase: None)
        if self._writer is not None:
            self._writer.append(measured)
        return with_remarks(Row(self._run, measured))

    def close(self) -> None:
        self._open.close()


def open_lab(options: Options, config: pytest.Config) -> Lab:
    """The session's lab; raises pytest.UsageError with one line."""
    try:
        return Lab(options, command_line(config))
    except AttnlabError as error:
        raise pytest.UsageError(f"attnlab: {message_of(error)}") from error


def _something_available(suite: Suite, benches: tuple[BenchRecord, ...], registry: Registry, device: str) -> None:
    """Raise UsageError where no implementation of a suite can run here: tests that all skip prove nothing."""
    here = describe_device(device)
    reasons: dict[str, None] = {}
    for bench in benches:
        for name in bench.implementations:
            reason = needs.missing(registry.implementations(bench.operator).get(name), here)
            if reason is None:
                return
            reasons[f"{name}: {reason}"] = None
    raise UsageError(f"nothing of suite {suite.name!r} can run here: {'; '.join(reasons)}")
