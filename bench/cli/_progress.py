"""What is running and how long it will take: a bar on a terminal, a line a measurement elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from attnlab.bench import units
from attnlab.bench.text import brief

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from attnlab.bench.measuring.forecast.time_left import TimeLeft
    from attnlab.bench.measuring.steps import Step
    from attnlab.bench.store.records import Measurement

ROUND = "round "  # begins the word for a burst in turn


class _Watch:
    """Tells of each event what knows the time that is left; without one nothing is said of it."""

    def __init__(self, left: TimeLeft | None) -> None:
        self._left = left

    def begin(self, step: Step) -> None:
        if self._left is not None:
            self._left.begin(time.monotonic())

    def phase(self, step: Step, phase: str) -> None:
        if self._left is None:
            return
        if step.rounds and phase.startswith(ROUND):
            self._left.burst(step, time.monotonic())
        else:
            self._left.phase(step, phase, time.monotonic())

    def turn(self, number: int, rounds: int, measurement: Measurement) -> None:
        if self._left is not None:
            self._left.turn(number, time.monotonic())

    def end(self, step: Step, measurement: Measurement) -> None:
        if self._left is not None:
            self._left.end(step, measurement, time.monotonic())

    @property
    def left_s(self) -> float | None:
        """Seconds from now to the end of the run; None where that is not known."""
        return None if self._left is None else self._left.left(time.monotonic())


class Lines(_Watch, AbstractContextManager["Lines"]):
    """One line a measurement, for logs; nothing at all where quiet."""

    def __init__(self, total: int, quiet: bool, left: TimeLeft | None = None) -> None:
        super().__init__(left)
        self._total, self._quiet = total, quiet
        self._done, self._round = 0, 0

    def __exit__(self, *_: object) -> None:
        return None

    def turn(self, number: int, rounds: int, measurement: Measurement) -> None:
        super().turn(number, rounds, measurement)
        if not self._quiet and number != self._round:
            self._round = number
            print(f"round {number} of {rounds} in fresh processes{self._left_words()}", file=sys.stderr, flush=True)

    def end(self, step: Step, measurement: Measurement) -> None:
        super().end(step, measurement)
        self._done += 1
        if not self._quiet:
            what = f"{step.operator}/{step.implementation} {step.case.id}"
            left = self._left_words() if self._done < self._total else ""
            print(f"[{self._done}/{self._total}] {what}: {describe(measurement)}{left}", file=sys.stderr, flush=True)

    def _left_words(self) -> str:
        seconds = self.left_s
        return "" if seconds is None else f"; about {units.format_duration(seconds)} left"


class Bar(_Watch, AbstractContextManager["Bar"]):
    """A progress bar by time, with what is running, its phase and the time left."""

    def __init__(self, total: int, left: TimeLeft | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        super().__init__(left)
        self._total, self._done = total, 0
        self._begun_s = self._looked_s = time.monotonic()
        self._left_then_s: float | None = None
        self._least_s = 0.0
        self._bar = Progress(
            TextColumn("{task.fields[steps]}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16),
            _calling(self.left_words),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("starting", total=1.0, steps=f"0/{total}")
        self._show("starting")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, step: Step) -> None:
        super().begin(step)
        self._show(f"{step.implementation} {step.case.id}")

    def phase(self, step: Step, phase: str) -> None:
        super().phase(step, phase)
        self._show(f"{step.implementation} {step.case.id}: {phase}")

    def turn(self, number: int, rounds: int, measurement: Measurement) -> None:
        super().turn(number, rounds, measurement)
        self._show(f"{measurement.case_id}: round {number} of {rounds} in fresh processes")

    def end(self, step: Step, measurement: Measurement) -> None:
        super().end(step, measurement)
        self._done += 1
        self._show()

    def left_words(self) -> str:
        """What is left now: the time since the last event is taken off, down to what cannot have begun yet."""
        if self._left_then_s is None:
            return ""
        seconds = max(self._left_then_s - (time.monotonic() - self._looked_s), self._least_s)
        return f"{units.format_duration(seconds)} left"

    def _show(self, description: str | None = None) -> None:
        """Look at the time left, and show what is running; the bar's own thread, which draws it, looks no more."""
        self._looked_s, self._left_then_s = time.monotonic(), self.left_s
        share = self._done / max(1, self._total)
        if self._left is not None and self._left_then_s is not None:
            spent = self._looked_s - self._begun_s
            self._least_s = self._left.left(math.inf)
            share = spent / max(spent + self._left_then_s, 1e-9)
        self._bar.update(self._task, completed=share, steps=f"{self._done}/{self._total}", description=description)


def _calling(words: Callable[[], str]) -> ProgressColumn:
    """A column that is what `words` gives whenever it is drawn."""
    from rich.progress import ProgressColumn
    from rich.table import Column
    from rich.text import Text

    class Called(ProgressColumn):
        def render(self, task: object) -> Text:
            return Text(words())

    return Called(Column(no_wrap=True))


def make_progress(total: int, quiet: bool, left: TimeLeft | None = None) -> Lines | Bar:
    return Bar(total, left) if sys.stderr.isatty() and not quiet else Lines(total, quiet, left)


def describe(measurement: Measurement) -> str:
    """`passed, 1.23 ms` or the outcome with its reason."""
    if measurement.median_ns is not None:
        return f"{measurement.outcome.value}, {units.format_time(measurement.median_ns)}"
    if measurement.paced is not None and measurement.reason is None:
        return f"{measurement.outcome.value}, {measurement.paced}"
    reason = measurement.reason or (f"not timed: {measurement.untimed}" if measurement.untimed else None)
    return measurement.outcome.value + (f": {brief(reason)}" if reason else "")
