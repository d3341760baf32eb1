"""Clocks: what lies within the timed span, and what is done around it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from attnlab.bench.clocks import clocks_for, main_timer, start_all
from attnlab.bench.clocks.cpu_time import CpuTime
from attnlab.bench.clocks.cuda_events import FLUSH_OVER_L2, HIDE_NS, CudaEvents
from attnlab.bench.clocks.wall import Wall

CPU = torch.device("cpu")
L2_BYTES = 1000


def test_the_cpu_is_timed_by_wall_and_processor_time_beside_it() -> None:
    timers = start_all(clocks_for(CPU), [lambda: None]).timers
    assert [(timer.clock, timer.cache) for timer in timers] == [("wall", "warm"), ("cpu_time", "warm")]
    assert main_timer(CPU, [lambda: None]).clock == "wall"


@pytest.mark.parametrize(("clock", "now"), [(Wall(), "perf_counter_ns"), (CpuTime(), "process_time_ns")])
def test_the_span_is_the_call_and_nothing_else(clock: Any, now: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for the system's clock that moves on in the calls alone."""
    elapsed = 0

    def spend(ns: int) -> None:
        nonlocal elapsed
        elapsed += ns

    monkeypatch.setattr(time, now, lambda: elapsed)
    calls = [lambda: spend(5), lambda: spend(70), lambda: spend(0)]
    timer = clock.start(calls, 0)
    assert timer.burst(3) == [5.0, 70.0, 0.0]
    assert timer.burst(2) == [5.0, 70.0]
    assert timer.burst(2) == [0.0, 5.0], "the rotation goes on where it was"
    assert timer.burst(0) == []


class Tape:
    """A stand-in for torch.cuda that writes down, in order, what is put on the stream."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.enqueued = 0.0  # device time in ms of all that was put on the stream so far

    def work(self, what: str, ms: float) -> None:
        self.said.append(what)
        self.enqueued += ms

    def install(self, patch: pytest.MonkeyPatch) -> None:
        tape = self

        class Event:
            def __init__(self, enable_timing: bool = False) -> None:
                assert enable_timing
                tape.said.append("event made")

            def record(self) -> None:
                tape.said.append("record")
                self.at = tape.enqueued

            def elapsed_time(self, end: Event) -> float:
                assert tape.said[-1] == "synchronize", "events are read once the device is done"
                return end.at - self.at

        patch.setattr(torch.cuda, "Event", Event)
        patch.setattr(torch.cuda, "synchronize", lambda device: tape.said.append("synchronize"))
        patch.setattr(torch.cuda, "_sleep", lambda cycles: tape.work("sleep", cycles / 2e6))
        patch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(L2_cache_size=L2_BYTES))
        patch.setattr(torch, "empty", self._empty)

    def _empty(self, count: int, dtype: torch.dtype, device: torch.device) -> SimpleNamespace:
        assert dtype is torch.uint8
        self.said.append(f"empty {count}")
        return SimpleNamespace(zero_=lambda: self.work(f"flush {count}", 0.3))


@pytest.fixture
def tape(monkeypatch: pytest.MonkeyPatch) -> Tape:
    made = Tape()
    made.install(monkeypatch)
    return made


def test_events_bracket_the_call_alone(tape: Tape) -> None:
    timer = CudaEvents(torch.device("cuda")).start([lambda: tape.work("a", 2.0), lambda: tape.work("b", 0.5)], 0)
    assert timer.burst(2) == pytest.approx([2.0e6, 0.5e6]), "ns of the calls, flush and sleep left out"
    flush = f"flush {FLUSH_OVER_L2 * L2_BYTES}"
    around = [flush, "sleep", "event made", "event made", "record"]
    size = f"empty {FLUSH_OVER_L2 * L2_BYTES}"
    assert tape.said == [size, "synchronize", *around, "a", "record", *around, "b", "record", "synchronize"]


def test_a_hot_cache_is_not_flushed(tape: Tape) -> None:
    timer = CudaEvents(torch.device("cuda"), "hot").start([lambda: tape.work("a", 2.0)], 0)
    timer.burst(1)
    assert not [said for said in tape.said if str(said).startswith(("empty", "flush"))]
    assert timer.cache == "hot"
    assert CudaEvents(torch.device("cuda")).start([], 0).cache == "cold"


def test_the_launch_is_hidden_longer_than_it_takes(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    cycles: list[int] = []
    monkeypatch.setattr(torch.cuda, "_sleep", cycles.append)
    CudaEvents(torch.device("cuda")).start([lambda: None], 0).burst(3)
    assert cycles == [2 * HIDE_NS] * 3, "at 2 GHz or less"


@pytest.mark.gpu
def test_device_time_of_known_work() -> None:
    """Twice the work takes about twice the time; an empty call next to none; cold is not under hot."""
    device = torch.device("cuda")
    a = torch.randn(4096, 4096, device=device, dtype=torch.bfloat16)

    def median(call: Any, cache: str = "cold") -> float:
        timer = CudaEvents(device, cache).start([call], 0)
        timer.burst(5)
        return sorted(timer.burst(21))[10]

    once = median(lambda: a @ a)
    twice = median(lambda: (a @ a, a @ a))
    assert 1.6 < twice / once < 2.4
    assert median(lambda: None) < 20e3
    small = torch.ones(1 << 22, device=device, dtype=torch.uint8)
    assert median(small.max) >= 0.95 * median(small.max, "hot")
