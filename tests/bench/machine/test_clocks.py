"""Clocks of the CPU: what lies within the timed span; and those of a real GPU, where there is one."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from attnlab.bench.machine.clocks import clocks_for, main_timer, now, start_all
from attnlab.bench.machine.clocks.cpu_time import CpuTime
from attnlab.bench.machine.clocks.wall import Wall

CPU = torch.device("cpu")


def test_the_cpu_is_timed_by_wall_and_processor_time_beside_it() -> None:
    timers = start_all(clocks_for(CPU), [lambda: None]).timers
    assert [(timer.clock, timer.cache) for timer in timers] == [("wall", "warm"), ("cpu_time", "warm")]
    assert main_timer(CPU, [lambda: None]).clock == "wall"


@pytest.mark.parametrize(("clock", "function"), [(Wall(), "perf_counter_ns"), (CpuTime(), "process_time_ns")])
def test_the_span_is_the_call_and_nothing_else(clock: Any, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for the system's clock that moves on in the calls alone."""
    elapsed = 0

    def spend(ns: int) -> None:
        nonlocal elapsed
        elapsed += ns

    monkeypatch.setattr(now, function, lambda: elapsed)
    calls = [lambda: spend(5), lambda: spend(70), lambda: spend(0)]
    timer = clock.start(calls, 0)
    assert timer.burst(3) == [5.0, 70.0, 0.0]
    assert timer.burst(2) == [5.0, 70.0]
    assert timer.burst(2) == [0.0, 5.0], "the rotation goes on where it was"
    assert timer.burst(0) == []


@pytest.mark.parametrize(("clock", "function"), [(Wall(), "perf_counter_ns"), (CpuTime(), "process_time_ns")])
def test_a_plugin_that_puts_its_own_clock_into_the_system_changes_nothing(
    clock: Any, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, function, lambda: 1)
    work = lambda: sum(range(20_000))  # noqa: E731
    assert all(sample > 1 for sample in clock.start([work], 0).burst(2))


class Renewing:
    """A call whose inputs are renewed in 1,000 ns, and which takes 5; `said` keeps the order."""

    def __init__(self, spend: Any, name: str, said: list[str]) -> None:
        self._spend, self._name, self._said = spend, name, said

    def renew(self) -> None:
        self._spend(1_000)
        self._said.append(f"renew {self._name}")

    def __call__(self) -> None:
        self._spend(5)
        self._said.append(f"call {self._name}")


def test_inputs_are_renewed_before_each_call_and_outside_its_span(monkeypatch: pytest.MonkeyPatch) -> None:
    elapsed = 0

    def spend(ns: int) -> None:
        nonlocal elapsed
        elapsed += ns

    monkeypatch.setattr(now, "perf_counter_ns", lambda: elapsed)
    said: list[str] = []
    timer = Wall().start([Renewing(spend, "a", said), Renewing(spend, "b", said), lambda: spend(7)], 0)
    assert timer.burst(4) == [5.0, 5.0, 7.0, 5.0]
    assert said == ["renew a", "call a", "renew b", "call b", "renew a", "call a"]


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
