"""What a parent takes for the time of a call, from marks of a worker on a free machine and on a busy one."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from attnlab.bench.measuring.observation import (
    ALL_STRETCHES_NS,
    BUSY_FACTOR,
    MOST_MARKS,
    STRETCH_NS,
    Mark,
    _scheduled_ns,
    call_ns,
    enough,
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
    assert not enough(marks(FREE, FREE, counted=counted))
    assert enough(marks(FREE, FREE, FREE, counted=counted))
    assert enough(marks((ALL_STRETCHES_NS, 1, ALL_STRETCHES_NS, 0), counted=counted))
    assert enough(marks(*[(1, 1, 1, 0)] * MOST_MARKS, counted=counted)), "calls of no time go on for ever otherwise"


def test_a_busy_machine_is_given_more_time_but_not_for_ever() -> None:
    assert not enough(marks(*[BUSY] * 3))
    assert not enough(marks(BUSY, FREE))
    assert enough(marks(*[BUSY] * 3, FREE)), "one stretch was free, and the time for all is over"
    assert enough(marks(*[BUSY] * (BUSY_FACTOR * ALL_STRETCHES_NS // BUSY[0])))
    assert enough(marks(*[(1, 1, 1, 1)] * (BUSY_FACTOR * MOST_MARKS)))


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
