"""A line that says how far a measurement is, on a terminal and in Jupyter; none where it would go to a file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

from attnlab.bench.measuring.steps import Step
from attnlab.bench.store.records import Measurement
from attnlab.bench.text import one_line

WIDEST = 100  # characters


def seen() -> bool:
    """Whether somebody reads what is written to stderr as it comes."""
    notebook = type(sys.stderr).__module__.partition(".")[0] == "ipykernel"
    return notebook or (sys.stderr is not None and sys.stderr.isatty())


class ProgressLine:
    """One line on stderr, written over each time and cleared at the end; `tell` takes the place of writing."""

    def __init__(self, steps: int, tell: Callable[[str], None] | None = None) -> None:
        self._steps, self._done = steps, 0
        self._tell = tell or (_write if seen() else _nothing)

    def begin(self, step: Step) -> None:
        self._say(step, "begins")

    def phase(self, step: Step, phase: str) -> None:
        self._say(step, phase)

    def end(self, step: Step, measurement: Measurement) -> None:
        self._done += 1

    def turn(self, number: int, rounds: int, measurement: Measurement) -> None: ...

    def close(self) -> None:
        """Clear the line."""
        self._tell("")

    def _say(self, step: Step, what: str) -> None:
        place = f"{min(self._done + 1, self._steps)} of {self._steps}: " if self._steps > 1 else ""
        self._tell(one_line(f"{place}{step.implementation} on {step.operator} {step.case.id}: {what}"))


def _write(text: str) -> None:
    width = min(WIDEST, shutil.get_terminal_size().columns - 1)
    sys.stderr.write(f"\r{text[:width]:<{width}}\r")
    sys.stderr.flush()


def _nothing(text: str) -> None: ...
