"""Clocks of the CPU: what lies within the timed span; and those of a real GPU, where there is one."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from attnlab.bench.clocks import clocks_for, main_timer, start_all
from attnlab.bench.clocks.cpu_time import CpuTime
from attnlab.bench.clocks.wall import Wall

CPU = torch.device("cpu")


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


@pytest.mark.gpu
@pytest.mark.parametrize("place", [0, 1, 2])
def test_device_time_of_known_work(place: int) -> None:
    """Twice the work takes about twice the time; an empty call next to none; cold is not under hot."""
    device = torch.device("cuda")
    a = torch.randn(4096, 4096, device=device, dtype=torch.bfloat16)
    if place >= len(clocks_for(device)):
        pytest.skip("needs the package cupti-python")

    def median(call: Any, cache: str = "cold") -> float:
        timer = clocks_for(device, cache)[place].start([call], 0)
        timer.burst(5)
        return sorted(timer.burst(21))[10]

    once = median(lambda: a @ a)
    twice = median(lambda: (a @ a, a @ a))
    assert 1.6 < twice / once < 2.4
    small = torch.ones(1 << 22, device=device, dtype=torch.uint8)
    assert median(small.max) >= 0.95 * median(small.max, "hot")


@pytest.mark.gpu
def test_a_call_that_waits_for_the_device_falls_back_and_the_next_one_is_captured() -> None:
    device = torch.device("cuda")
    a = torch.randn(1024, 1024, device=device)
    started = start_all(clocks_for(device), [lambda: (a @ a).sum().item()])
    assert started.timers[0].clock == "cuda_events"
    assert "cannot be captured in a CUDA graph" in started.notes[0]
    torch.randn(8, device=device)
    assert start_all(clocks_for(device), [lambda: a @ a]).timers[0].clock == "cuda_graph"
