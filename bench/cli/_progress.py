"""What is running and how long it will take: a bar on a terminal, a line a measurement elsewhere."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from attnlab.bench import units

if TYPE_CHECKING:
    from attnlab.bench.measuring.steps import Step
    from attnlab.bench.store.records import Measurement


class Lines(AbstractContextManager["Lines"]):
    """One line a measurement, for logs; nothing at all where quiet."""

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet = total, quiet
        self._done, self._round = 0, 0

    def __exit__(self, *_: object) -> None:
        return None

    def begin(self, step: Step) -> None:
        pass

    def phase(self, step: Step, phase: str) -> None:
        pass

    def turn(self, number: int, rounds: int, measurement: Measurement) -> None:
        if not self._quiet and number != self._round:
            self._round = number
            print(f"round {number} of {rounds} in fresh processes", file=sys.stderr, flush=True)

    def end(self, step: Step, measurement: Measurement) -> None:
        self._done += 1
        if not self._quiet:
            what = f"{step.operator}/{step.implementation} {step.case.id}"
            print(f"[{self._done}/{self._total}] {what}: {describe(measurement)}", file=sys.stderr, flush=True)


class Bar(AbstractContextManager["Bar"]):
    """A progress bar with what is running, its phase and the time left."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("starting", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, step: Step) -> None:
        self._bar.update(self._task, description=f"{step.implementation} {step.case.id}")

    def phase(self, step: Step, phase: str) -> None:
        self._bar.update(self._task, description=f"{step.implementation} {step.case.id}: {phase}")

    def turn(self, number: int, rounds: int, measurement: Measurement) -> None:
        what = f"{measurement.case_id}: round {number} of {rounds} in fresh processes"
        self._bar.update(self._task, description=what)

    def end(self, step: Step, measurement: Measurement) -> None:
        self._bar.advance(self._task)


def make_progress(total: int, quiet: bool) -> Lines | Bar:
    return Bar(total) if sys.stderr.isatty() and not quiet else Lines(total, quiet)


def describe(measurement: Measurement) -> str:
    """`passed, 1.23 ms` or the outcome with its reason."""
    if measurement.median_ns is not None:
        return f"{measurement.outcome.value}, {units.format_time(measurement.median_ns)}"
    if measurement.paced is not None and measurement.reason is None:
        return f"{measurement.outcome.value}, {measurement.paced}"
    reason = measurement.reason or (f"not timed: {measurement.untimed}" if measurement.untimed else None)
    return measurement.outcome.value + (f": {reason}" if reason else "")
