"""What a parent sees of a worker that times its calls, by a clock of its own."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.machine.clocks import now

STRETCH_NS = 10_000_000  # of calls between two marks, for the time of a call to be known from outside
STRETCHES, ALL_STRETCHES_NS, MOST_MARKS = 3, 100_000_000, 32
BUSY_SHARE = 0.1  # of a stretch, in which its threads waited for a processor: its calls took longer than they need
BUSY_FACTOR = 10  # times as long, and as many marks, are given where no stretch was free of that
TIMED_PHASES = ("warm-up", "timing")


@dataclass(frozen=True)
class Mark:
    """A worker's word that calls were made.

    at_ns: when it came. calls: since the mark before. spent_ns: processor time of the worker's main thread by then;
    waited_ns: for how long its threads were ready by then and had no processor, summed; None where not known.
    """

    at_ns: int
    calls: int
    spent_ns: int | None = None
    waited_ns: int | None = None


@dataclass(frozen=True)
class Stretch:
    """What lies between two marks."""

    before: Mark
    after: Mark

    @property
    def elapsed_ns(self) -> int:
        return self.after.at_ns - self.before.at_ns

    @property
    def busy(self) -> bool:
        """Whether others held the processors that its threads were ready for."""
        if self.before.waited_ns is None or self.after.waited_ns is None:
            return False
        return self.after.waited_ns - self.before.waited_ns > BUSY_SHARE * self.elapsed_ns

    @property
    def call_ns(self) -> float | None:
        """Of elapsed and processor time the less: a thread that waits for others spends none. None without calls."""
        if self.after.calls <= 0:
            return None
        took = self.elapsed_ns
        if self.before.spent_ns is not None and self.after.spent_ns is not None:
            took = min(took, self.after.spent_ns - self.before.spent_ns)
        return took / self.after.calls


@dataclass(frozen=True)
class Observation:
    """What a parent saw of a worker that timed, by its own clock.

    elapsed_ns: of all phases in which samples were taken. call_ns: what a call takes at least, of many that were made
    between two words of the worker; None where they were not.
    """

    elapsed_ns: float
    call_ns: float | None = None


class Observer:
    """Watches the phases and marks of one process, on one case at a time."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Another case begins."""
        self._phases_ns: dict[str, int] = {}
        self._phase = ""
        self._begun_ns: int | None = None
        self._marks: list[Mark] = []

    def begin_phase(self, phase: str) -> None:
        self._phase, self._begun_ns = phase, now.perf_counter_ns()

    def end_phase(self) -> None:
        """The process said something: its phase, if one was begun, is over."""
        if self._begun_ns is not None:
            spent = now.perf_counter_ns() - self._begun_ns
            self._phases_ns[self._phase] = self._phases_ns.get(self._phase, 0) + spent
            self._begun_ns = None

    def mark(self, process: int, calls: int) -> bool:
        """The process made so many calls since its last mark; whether that is enough."""
        spent_ns, waited_ns = _scheduled_ns(process)
        self._marks.append(Mark(now.perf_counter_ns(), calls, spent_ns, waited_ns))
        return enough(self._marks)

    @property
    def observation(self) -> Observation:
        """How long the process took samples, and what a call took between two of its marks."""
        return Observation(sum(self._phases_ns.get(phase, 0) for phase in TIMED_PHASES), call_ns(self._marks))


def enough(marks: Sequence[Mark]) -> bool:
    """Whether calls between marks took long enough for their time to be known: three stretches, or all of them.

    On a busy machine stretches count that were not disturbed; where there are none, more time is given to find one.
    """
    stretches = _stretches(marks)
    free = [stretch for stretch in stretches if not stretch.busy]
    more = 1 if free else BUSY_FACTOR
    long = sum(stretch.elapsed_ns >= STRETCH_NS for stretch in free)
    total = sum(stretch.elapsed_ns for stretch in stretches)
    return long >= STRETCHES or total >= more * ALL_STRETCHES_NS or len(marks) > more * MOST_MARKS


def call_ns(marks: Sequence[Mark]) -> float | None:
    """What a call takes at least, from marks: the least of all stretches. None where there are no marks.

    What disturbs makes calls longer, never shorter.
    """
    return min((ns for stretch in _stretches(marks) if (ns := stretch.call_ns) is not None), default=None)


def _stretches(marks: Sequence[Mark]) -> list[Stretch]:
    return [Stretch(before, after) for before, after in itertools.pairwise(marks)]


def _scheduled_ns(process: int) -> tuple[int | None, int | None]:
    """Processor time of a process's main thread, and the waiting of all its threads; None where it is not counted."""
    told: dict[int, list[int]] = {}
    for thread in _threads(process):
        with contextlib.suppress(OSError, ValueError):  # it may have ended by now
            told[thread] = [int(word) for word in Path(f"/proc/{process}/task/{thread}/schedstat").read_text().split()]
    if not told.get(process):
        return None, None
    return told[process][0], sum(words[1] for words in told.values())


def _threads(process: int) -> list[int]:
    try:
        return [int(task.name) for task in Path(f"/proc/{process}/task").iterdir()]
    except OSError:
        return []
