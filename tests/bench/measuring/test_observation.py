"""What a parent takes for the time of a call, from marks of a worker on a free machine and on a busy one."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from attnlab.bench.contract.descendants import new_mark, spent_by_marked_ns
from attnlab.bench.machine.clocks import now
from attnlab.bench.machine.host import MachineTime
from attnlab.bench.measuring import observation
from attnlab.bench.measuring.observation import (
    ALL_STRETCHES_NS,
    BUSY_FACTOR,
    MORE_CALLS,
    MOST_CALLS,
    MOST_MARKS,
    STRETCH_NS,
    Mark,
    Observer,
    _scheduled_ns,
    call_ns,
    calls_wanted,
)


def marks(*stretches: tuple[int, int, int, int], counted: bool = True) -> list[Mark]:
    """Of (elapsed, calls, spent, waited) between each two."""
    found = [Mark(0, 0, 0, 0) if counted else Mark(0, 0)]
    for elapsed, calls, spent, waited in stretches:
        at, last = found[-1].at_ns + elapsed, found[-1]
        told = ((last.spent_ns or 0) + spent, (last.waited_ns or 0) + waited) if counted else (None, None)
        found.append(Mark(at, calls, *told))
    return found


FREE = (STRETCH_NS, 10, STRETCH_NS, 0)
BUSY = (4 * STRETCH_NS, 10, 3 * STRETCH_NS, STRETCH_NS)


def test_the_least_of_elapsed_and_processor_time_counts() -> None:
    assert call_ns(marks(BUSY, FREE, BUSY)) == STRETCH_NS / 10
    assert call_ns(marks((1000, 10, 200, 0))) == 20
    assert call_ns(marks((1000, 10, 200, 0), counted=False)) == 100
    assert call_ns(marks()) is None
    assert call_ns(marks((1000, 0, 1000, 0))) is None


@pytest.mark.parametrize("counted", [True, False])
def test_three_stretches_are_enough(counted: bool) -> None:
    assert calls_wanted(marks(FREE, FREE, counted=counted))
    assert not calls_wanted(marks(FREE, FREE, FREE, counted=counted))
    assert not calls_wanted(marks((ALL_STRETCHES_NS, 1, ALL_STRETCHES_NS, 0), counted=counted))
    assert not calls_wanted(marks(*[(1, 1, 1, 0)] * MOST_MARKS, counted=counted)), "else it goes on for ever"


def test_stretches_grow_until_they_are_long_enough() -> None:
    assert calls_wanted(marks()) == 1
    assert calls_wanted(marks((STRETCH_NS - 1, 5, 1, 0))) == 5 * MORE_CALLS
    assert calls_wanted(marks((STRETCH_NS, 5, 1, 0))) == 5
    assert calls_wanted(marks((1, MOST_CALLS, 1, 0))) == MOST_CALLS
    assert calls_wanted(marks((1, 0, 1, 0))) == MORE_CALLS, "of a worker that made none"


def test_a_busy_machine_is_given_more_time_but_not_for_ever() -> None:
    assert calls_wanted(marks(*[BUSY] * 3))
    assert calls_wanted(marks(BUSY, FREE))
    assert not calls_wanted(marks(*[BUSY] * 3, FREE)), "one stretch was free, and the time for all is over"
    assert not calls_wanted(marks(*[BUSY] * (BUSY_FACTOR * ALL_STRETCHES_NS // BUSY[0])))
    assert not calls_wanted(marks(*[(1, 1, 1, 1)] * (BUSY_FACTOR * MOST_MARKS)))


def test_what_others_can_have_added_is_taken_off_where_no_stretch_was_free() -> None:
    waiting = (4 * STRETCH_NS, 10, 4 * STRETCH_NS, 3 * STRETCH_NS)
    others = 2 * 2 * STRETCH_NS
    assert call_ns(marks(waiting, waiting), others) == 2 * STRETCH_NS / 10
    assert call_ns(marks(waiting, waiting), 100 * others) == STRETCH_NS / 10, "it waited no longer than that"
    assert call_ns(marks(waiting, waiting), 0.0) == 4 * STRETCH_NS / 10, "its own threads stood in each other's way"
    assert call_ns(marks(waiting, FREE), others) == STRETCH_NS / 10
    assert call_ns(marks((4 * STRETCH_NS, 10, 4 * STRETCH_NS, 0)), others) == 4 * STRETCH_NS / 10, "it never waited"


def test_the_time_until_a_mark_is_answered_is_no_time_of_calls() -> None:
    found = [Mark(0, 0, 0, 0, answered_ns=1000), Mark(1500, 10, 500, 0, answered_ns=2000)]
    assert call_ns(found) == 50


def test_others_are_all_but_the_worker_and_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that keeps processors busy itself, by processes of its own, makes no excuse of it."""
    busy, spent = iter([5e9, 6e9]), iter([1e9, 1.8e9])
    monkeypatch.setattr(observation, "machine_time", lambda: MachineTime(next(busy), 0.0, None))
    monkeypatch.setattr(observation, "spent_by_marked_ns", lambda mark: next(spent))
    monkeypatch.setattr(observation, "_scheduled_ns", lambda process: next(told))
    told = iter([(0, 0.0), (ALL_STRETCHES_NS * BUSY_FACTOR, 1e9)])
    clock = iter([0, 0, 1_000_000_000, 1_000_000_000])
    monkeypatch.setattr(now, "perf_counter_ns", lambda: next(clock))
    observer = Observer(new_mark())
    assert observer.mark(1, 0) == 1
    assert observer.mark(1, 10) == 0
    assert observer.observation.call_ns == pytest.approx(0.8e9 / 10), "others had 0.2 s of its second"


def test_processor_time_of_what_a_worker_started_is_its_own() -> None:
    mark, another = new_mark(), new_mark()
    code = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, **one}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for one in (mark, mark, another)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        assert 0.3e9 < spent_by_marked_ns(mark) < 0.55e9, "of two, not of three"
    finally:
        for process in started:
            process.communicate(b"\n")
    assert spent_by_marked_ns(mark) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's scheduler statistics are Linux's")
def test_waiting_for_a_processor_is_seen() -> None:
    """Two processes on one core wait for each other; alone on it one hardly does."""
    core = min(os.sched_getaffinity(0))
    code = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    try:
        time.sleep(0.3)
        before = _scheduled_ns(both[0].pid)
        time.sleep(0.5)
        after = _scheduled_ns(both[0].pid)
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert before[1] is not None
    assert after[1] is not None
    assert after[1] - before[1] > 0.05e9
    assert _scheduled_ns(both[0].pid) == (None, None), "it has ended"
