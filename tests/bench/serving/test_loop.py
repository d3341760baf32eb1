"""The client's event loop wakes when it is due, and says how late it was."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import statistics
import time
from contextlib import AbstractContextManager, closing
from typing import Protocol

from attnlab.bench.serving._loop import LoopLag, PunctualSelector, loop_time, new_loop, short_collections

MS = 1_000_000


class Alone(Protocol):
    def __call__(self) -> AbstractContextManager[None]: ...


def test_a_wait_shorter_than_a_millisecond_is_not_one(alone: Alone) -> None:
    """epoll alone waits for whole milliseconds, rounded up. The median, for the machine may be busy."""
    with closing(PunctualSelector()) as selector, alone():
        waits_ns = []
        for _ in range(41):
            begun_ns = time.perf_counter_ns()
            assert selector.select(0.0003) == []
            waits_ns.append(time.perf_counter_ns() - begun_ns)
    assert min(waits_ns) >= 0.3 * MS
    assert statistics.median(waits_ns) < 0.95 * MS


def test_what_is_ready_ends_a_wait() -> None:
    here, there = socket.socketpair()
    with here, there, closing(PunctualSelector()) as selector:
        selector.register(here, 1, "data")
        assert selector.select(0) == []
        there.send(b"x")
        for timeout in (None, 5, 0, -1):
            ((key, _),) = selector.select(timeout)
            assert key.data == "data"


def test_a_loop_has_the_clock_of_the_log() -> None:
    with closing(new_loop()) as loop:
        before, now_s, after = time.perf_counter_ns(), loop.time(), time.perf_counter_ns()
    assert loop_time(before) - 1e-6 <= now_s <= loop_time(after) + 1e-6


def test_a_loop_that_is_blocked_has_lags() -> None:
    async def run(block_s: float) -> list[int]:
        lag = LoopLag(asyncio.get_running_loop())
        lag.start()
        await asyncio.sleep(0.015)
        time.sleep(block_s)
        await asyncio.sleep(0.025)
        lag.stop()
        return lag.lags_ns

    with asyncio.Runner(loop_factory=new_loop) as runner:
        lags_ns = runner.run(run(0.05))
    assert len(lags_ns) >= 2
    assert max(lags_ns) > 35 * MS
    assert sum(lag_ns > 35 * MS for lag_ns in lags_ns) <= 2, "and one block is not many lags"


def test_collections_pass_over_what_was_there_and_are_as_before_afterwards() -> None:
    assert gc.get_freeze_count() == 0
    with short_collections():
        kept = gc.get_freeze_count()
        assert kept > 1000
        with short_collections():
            pass
        assert gc.get_freeze_count() == kept, "the outer one's"
    assert gc.get_freeze_count() == 0


def test_no_descriptor_is_left() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with closing(new_loop()) as loop:
        loop.run_until_complete(asyncio.sleep(0))
    assert len(os.listdir("/proc/self/fd")) == before
