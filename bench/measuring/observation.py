"""What a parent sees of a worker that times its calls, by a clock of its own."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench.contract.descendants import spent_by_marked_ns
from attnlab.bench.machine.clocks import now
from attnlab.bench.machine.host import machine_time

STRETCH_NS = 10_000_000  # of calls between two marks, for the time of a call to be known from outside
STRETCHES, ALL_STRETCHES_NS, MOST_MARKS = 3, 100_000_000, 32
MORE_CALLS, MOST_CALLS = 4, 4096  # times as many in a stretch as in one that was short; and at most
BUSY_SHARE = 0.1  # of a stretch, for which its threads had no processor: its calls took longer than they need
BUSY_FACTOR = 10  # times as long, and as many marks, are given where no stretch was free of that
TIMED_PHASES = ("warm-up", "timing")


@dataclass(frozen=True)
class Mark:
    """A worker's word that calls were made; it waits until it is answered.

    at_ns: when it came; answered_ns: when the worker went on. calls: since the mark before. spent_ns: processor time of
    the worker's main thread by then; waited_ns: for how long its threads were ready by then and had no processor,
    summed, or the machine's processors were another's; None where not known.
    """

    at_ns: int
    calls: int
    spent_ns: int | None = None
    waited_ns: float | None = None
    answered_ns: int | None = None


@dataclass(frozen=True)
class Stretch:
    """What lies between two marks."""

    before: Mark
    after: Mark

    @property
    def elapsed_ns(self) -> int:
        return self.after.at_ns - (self.before.answered_ns or self.before.at_ns)

    @property
    def waited_ns(self) -> float:
        """For how long its threads had no processor, summed; 0 where that is not known."""
        if self.before.waited_ns is None or self.after.waited_ns is None:
            return 0.0
        return self.after.waited_ns - self.before.waited_ns

    @property
    def busy(self) -> bool:
        """Whether the processors that its threads were ready for were taken."""
        return self.waited_ns > BUSY_SHARE * self.elapsed_ns

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
    """Watches the phases and marks of one process, on one case at a time; `mark` is in the environment of its like."""

    def __init__(self, mark: Mapping[str, str]) -> None:
        self._mark = mark
        self.forget()

    def forget(self) -> None:
        """Another case begins."""
        self._phases_ns: dict[str, int] = {}
        self._phase = ""
        self._begun_ns: int | None = None
        self._marks: list[Mark] = []
        self._others_before_ns: float | None = None
        self._others_ns: float | None = None

    def begin_phase(self, phase: str) -> None:
        self._phase, self._begun_ns = phase, now.perf_counter_ns()

    def end_phase(self) -> None:
        """The process said something: its phase, if one was begun, is over."""
        if self._begun_ns is not None:
            spent = now.perf_counter_ns() - self._begun_ns
            self._phases_ns[self._phase] = self._phases_ns.get(self._phase, 0) + spent
            self._begun_ns = None

    def mark(self, process: int, calls: int) -> int:
        """The process made so many calls since its last mark; how many it is to make next, 0 where that is enough."""
        at_ns = now.perf_counter_ns()
        spent_ns, waited_ns = _scheduled_ns(process)
        if not self._marks:
            self._others_before_ns = self._others_now_ns()
        self._marks.append(Mark(at_ns, calls, spent_ns, waited_ns, now.perf_counter_ns()))
        more = calls_wanted(self._marks)
        if not more and self._others_before_ns is not None:
            others_ns = self._others_now_ns()
            self._others_ns = None if others_ns is None else others_ns - self._others_before_ns
        return more

    @property
    def observation(self) -> Observation:
        """How long the process took samples, and what a call took between two of its marks."""
        elapsed_ns = sum(self._phases_ns.get(phase, 0) for phase in TIMED_PHASES)
        return Observation(elapsed_ns, call_ns(self._marks, self._others_ns or 0.0))

    def _others_now_ns(self) -> float | None:
        """Processor time that others than the process, and what it started, had until now."""
        machine = machine_time()
        return None if machine is None else machine.busy_ns + machine.stolen_ns - spent_by_marked_ns(self._mark)


def calls_wanted(marks: Sequence[Mark]) -> int:
    """How many calls are to be made until the next mark, of some 10 ms together; 0 where their time can be known.

    That takes three stretches. On a busy machine stretches count that were not disturbed; where there are none, more
    time is given to find one.
    """
    stretches = _stretches(marks)
    free = [stretch for stretch in stretches if not stretch.busy]
    more = 1 if free else BUSY_FACTOR
    long = sum(stretch.elapsed_ns >= STRETCH_NS for stretch in free)
    total = sum(stretch.elapsed_ns for stretch in stretches)
    if long >= STRETCHES or total >= more * ALL_STRETCHES_NS or len(marks) > more * MOST_MARKS:
        return 0
    if not stretches:
        return 1
    last = stretches[-1]
    return min(max(1, last.after.calls) * (1 if last.elapsed_ns >= STRETCH_NS else MORE_CALLS), MOST_CALLS)


def call_ns(marks: Sequence[Mark], others_ns: float = 0.0) -> float | None:
    """What a call takes at least, from marks: the least of all stretches. None where there are no marks.

    What disturbs makes calls longer, never shorter. Where no stretch was free of it, what others can have added is
    taken off: they had processors for others_ns, while the worker's threads waited. A worker whose own threads stand in
    each other's way is not disturbed.
    """
    stretches = [stretch for stretch in _stretches(marks) if stretch.call_ns is not None]
    least = min((stretch.call_ns for stretch in stretches if stretch.call_ns is not None), default=None)
    if least is None or not all(stretch.busy for stretch in stretches):
        return least
    waited_ns = sum(stretch.waited_ns for stretch in stretches)
    undisturbed_ns = sum(stretch.elapsed_ns for stretch in stretches) - min(waited_ns, max(0.0, others_ns))
    return min(least, max(0.0, undisturbed_ns) / sum(stretch.after.calls for stretch in stretches))


def _stretches(marks: Sequence[Mark]) -> list[Stretch]:
    return [Stretch(before, after) for before, after in itertools.pairwise(marks)]


def _scheduled_ns(process: int) -> tuple[int | None, float | None]:
    """Processor time of a process's main thread, and how long its threads had none; None where it is not counted."""
    told: dict[int, list[int]] = {}
    for thread in _threads(process):
        with contextlib.suppress(OSError, ValueError):  # it may have ended by now
            told[thread] = [int(word) for word in Path(f"/proc/{process}/task/{thread}/schedstat").read_text().split()]
    if not told.get(process):
        return None, None
    machine = machine_time()
    stolen_ns = 0.0 if machine is None else machine.stolen_ns
    return told[process][0], sum(words[1] for words in told.values()) + stolen_ns


def _threads(process: int) -> list[int]:
    try:
        return [int(task.name) for task in Path(f"/proc/{process}/task").iterdir()]
    except OSError:
        return []
