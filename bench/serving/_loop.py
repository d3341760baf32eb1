"""An event loop that wakes when it is due, and that knows how late it woke."""

from __future__ import annotations

import asyncio
import gc
import select
import selectors
import time
from collections.abc import Iterator
from contextlib import contextmanager

from attnlab.bench import units

SAMPLE_NS = 10 * units.NS_PER_MS
MOST_DESCRIPTOR = 1024  # what select() can wait for


class PunctualSelector(selectors.EpollSelector):
    """epoll waits for whole milliseconds, rounded up, which alone would make half of all sending late by over 0.5 ms.

    So the wait is select()'s, in microseconds, on epoll's own descriptor.
    """

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0 and self.fileno() < MOST_DESCRIPTOR:
            select.select((self.fileno(),), (), (), timeout)
            timeout = 0
        return super().select(timeout)


def new_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(PunctualSelector())


def loop_time(at_ns: int) -> float:
    """A time of `time.perf_counter_ns` by the loop's clock, which is the same one: CLOCK_MONOTONIC."""
    return units.ns_to_seconds(at_ns)


class LoopLag:
    """Samples how late a loop wakes for a timer, all along a load."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due_ns = 0
        self._timer: asyncio.TimerHandle | None = None
        self.lags_ns: list[int] = []

    def start(self) -> None:
        self._due_ns = time.perf_counter_ns() + SAMPLE_NS
        self._timer = self._loop.call_at(loop_time(self._due_ns), self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now_ns = time.perf_counter_ns()
        self.lags_ns.append(max(0, now_ns - self._due_ns))
        self._due_ns = max(now_ns, self._due_ns) + SAMPLE_NS
        self._timer = self._loop.call_at(loop_time(self._due_ns), self._look)


@contextmanager
def short_collections() -> Iterator[None]:
    """Inside, the garbage collector passes over what was there before, such as a model's libraries: a look at all of
    that takes tens of milliseconds, in which nothing is sent or read."""
    mine = gc.get_freeze_count() == 0
    if mine:
        gc.freeze()
    try:
        yield
    finally:
        if mine:
            gc.unfreeze()
