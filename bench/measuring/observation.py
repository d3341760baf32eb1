"""What a parent sees of a worker that times its calls, by a clock of its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.machine.clocks import now

STRETCH_NS = 10_000_000  # of calls between two marks, for the time of a call to be known from outside
STRETCHES, ALL_STRETCHES_NS, MOST_MARKS = 3, 100_000_000, 32
TIMED_PHASES = ("warm-up", "timing")

Mark = tuple[int, int | None, int]
"""A worker's word that calls were made: when it came, processor time of its main thread by then (None: not known), in
nanoseconds, and calls since the mark before."""


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
        self._marks.append((now.perf_counter_ns(), _main_thread_ns(process), calls))
        return enough(self._marks)

    @property
    def observation(self) -> Observation:
        """How long the process took samples, and what a call took between two of its marks."""
        return Observation(sum(self._phases_ns.get(phase, 0) for phase in TIMED_PHASES), call_ns(self._marks))


def enough(marks: Sequence[Mark]) -> bool:
    """Whether calls between marks took long enough for their time to be known: three stretches, or all of them."""
    took = [after[0] - before[0] for before, after in itertools.pairwise(marks)]
    long = sum(ns >= STRETCH_NS for ns in took)
    return long >= STRETCHES or sum(took) >= ALL_STRETCHES_NS or len(marks) > MOST_MARKS


def call_ns(marks: Sequence[Mark]) -> float | None:
    """What a call takes at least, from marks.

    The least of all stretches, of elapsed and processor time each: what disturbs makes calls longer, never shorter, and
    a thread that waits for others spends none. None where there are no marks.
    """
    found = []
    for (before_ns, spent_before, _), (after_ns, spent_after, calls) in itertools.pairwise(marks):
        if calls > 0:
            took = float(after_ns - before_ns)
            if spent_before is not None and spent_after is not None:
                took = min(took, float(spent_after - spent_before))
            found.append(took / calls)
    return min(found, default=None)


def _main_thread_ns(process: int) -> int | None:
    """Processor time of a process's main thread; None where the kernel does not count it."""
    try:
        return int(Path(f"/proc/{process}/task/{process}/schedstat").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
