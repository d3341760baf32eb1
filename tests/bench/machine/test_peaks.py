"""How peak rates are measured: what is counted, that the fastest call is the ceiling, and what else ran."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from attnlab.bench.machine import clocks, peaks
from attnlab.bench.store.machine import Device
from attnlab.bench.store.records import HostState

DEVICE = Device("cpu", "A processor (x86)")
CPU = torch.device("cpu")


def test_rates_count_what_is_moved_and_multiplied(monkeypatch: pytest.MonkeyPatch, fake_clock: Any) -> None:
    """By a clock that says 2 ms of every call."""
    monkeypatch.setattr(clocks, "clocks_for", lambda *_: (fake_clock([2e6]),))
    monkeypatch.setattr(torch, "matmul", lambda a, b: None)
    assert peaks._copy_bandwidth(CPU, 1000) == pytest.approx(2 * 1000 / 2e-3), "read and written"
    assert peaks._read_bandwidth(CPU, 1000) == pytest.approx(1000 / 2e-3)
    largest = 4096 * 1024 * torch.get_num_threads()
    assert peaks._cache_bandwidth() == pytest.approx(3 * largest / 2e-3), "two streams are read, one is written"
    assert peaks._matrix_rate(CPU, torch.float32) == pytest.approx(2 * 2048**3 / 2e-3), "the best of the sizes"


def test_a_gpu_copies_by_a_kernel(monkeypatch: pytest.MonkeyPatch, fake_clock: Any) -> None:
    """In a graph, `copy_` would be the copy engine's."""
    copied = []
    kernel = torch.bitwise_not

    def copy(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        copied.append((x.dtype, x.numel()))
        return kernel(x, out=out)

    monkeypatch.setattr(clocks, "clocks_for", lambda *_: (fake_clock([2e6]),))
    monkeypatch.setattr(torch, "bitwise_not", copy)
    assert peaks._copy_bandwidth(torch.device("meta"), 1000) == pytest.approx(2 * 1000 / 2e-3)
    assert set(copied) == {(torch.int32, 250)}


def test_a_slow_rate_is_not_measured_on_the_next_larger_size(monkeypatch: pytest.MonkeyPatch, fake_clock: Any) -> None:
    clock = fake_clock([0.9e9])
    monkeypatch.setattr(clocks, "clocks_for", lambda *_: (clock,))
    assert peaks._matrix_rate(CPU, torch.float32) == pytest.approx(2 * 256**3 / 0.9)
    assert sum(map(len, clock.told)) == 3


def test_the_fastest_call_is_the_ceiling(monkeypatch: pytest.MonkeyPatch, fake_clock: Any) -> None:
    monkeypatch.setattr(clocks, "clocks_for", lambda *_: (fake_clock([9e6, 5e6, 7e6]),))
    assert peaks._least_ns(lambda: None, CPU) == 5e6


def test_the_copy_leaves_room_in_memory() -> None:
    assert peaks._copy_bytes(DEVICE) == peaks.COPY_BYTES["cpu"]
    assert peaks._copy_bytes(Device("cuda", "small", memory_bytes=8 << 30)) == 1 << 30


def test_each_rate_is_measured_several_times_and_the_best_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds over all probes, so that a disturbance meets one of the times alone."""
    rates = {"_copy_bandwidth": [1.0, 4.0, 2.0], "_read_bandwidth": [8.0] * 3, "_cache_bandwidth": [5.0, 9.0, 7.0]}
    order = []

    def taking(name: str) -> Any:
        def probe(*given: object) -> float:
            order.append(name)
            return rates[name].pop(0)

        return probe

    for name in rates:
        monkeypatch.setattr(peaks, name, taking(name))
    monkeypatch.setattr(peaks, "_matrix_rate", lambda device, dtype: 3.0)
    found = peaks.measure(DEVICE)
    assert (found.bandwidth, found.read_bandwidth, found.cache_bandwidth) == (4.0, 8.0, 9.0)
    assert found.rates == dict.fromkeys(peaks.MEASURED_DTYPES, 3.0)
    assert found.spread["copy"] == 0.75
    assert found.spread["read"] == found.spread["float16"] == 0.0
    assert order == ["_copy_bandwidth", "_read_bandwidth", "_cache_bandwidth"] * 3
    assert found.host
    assert found.load is not None


def test_reading_takes_no_longer_than_reading_and_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, rate in (("_copy_bandwidth", 9.0), ("_read_bandwidth", 3.0), ("_cache_bandwidth", 9.0)):
        monkeypatch.setattr(peaks, name, lambda *given, rate=rate: rate)
    monkeypatch.setattr(peaks, "_matrix_rate", lambda device, dtype: 3.0)
    assert peaks.measure(DEVICE).read_bandwidth == 4.5


def state(cpu_ns: float = 2e8, waited_ns: float = 0.0, busy_ns: float = 2e8) -> HostState:
    return HostState(1e8, cpu_ns, 3, waited_ns, busy_ns, 1e6, 2)


def test_what_else_ran_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = peaks._load(CPU, [state(), state()])
    assert quiet.disturbed is None
    assert (quiet.others, quiet.runnable, quiet.switches_per_s) == (0.0, 2, pytest.approx(30.0))
    assert quiet.stolen == pytest.approx(0.01)
    beside = peaks._load(CPU, [state(cpu_ns=1e8)])
    assert beside.disturbed == "other processes kept 1.0 cores busy"
    waiting = peaks._load(CPU, [state(waited_ns=5e7)])
    assert (waiting.disturbed or "").startswith("its threads waited for a core 50.0 % of the time")
    monkeypatch.setattr(peaks, "sharers", lambda device: "other processes computed on the GPU: 7")
    shared = peaks._load(torch.device("cuda"), [state(waited_ns=5e7)])
    assert shared.disturbed == "other processes computed on the GPU: 7", "the host may wait as it likes"
