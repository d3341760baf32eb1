"""Samples taken while clocks were held down are marked, by number, and none is thrown away."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from attnlab.bench.machine.clocks import cuda_clocks
from attnlab.bench.machine.slow_clocks import held_down, held_down_notes
from attnlab.bench.measuring.timing import Effort, time_calls
from attnlab.bench.store.records import Burst, DeviceState, Series

FULL = DeviceState(2000.0, throttle=())


def burst(state: DeviceState | None, *times_ns: float) -> Burst:
    return Burst(0.0, (Series("latency", "ns", "cuda_graph", "lower", times_ns or (10.0, 10.0)),), state)


@pytest.mark.parametrize(
    "state",
    [
        DeviceState(2000.0, throttle=("thermal, by the hardware",)),
        DeviceState(2000.0, throttle=("application clocks", "power cap")),
        DeviceState(1800.0, throttle=()),
    ],
)
def test_late_throttled_samples_are_marked(state: DeviceState) -> None:
    bursts = [burst(FULL), burst(FULL), burst(state, 14.0, 14.0, 14.0)]
    (note,) = held_down_notes(bursts)
    assert note == (
        "some samples were taken with the GPU's clocks held down or slower than for others, and are kept "
        "(samples 5 to 7 of 7, in 1 of 3 bursts; their median is 14.0 ns, that of the others 10.0 ns)"
    )


def test_a_throttle_that_is_over_by_the_end_of_a_burst_shows_in_the_counter() -> None:
    counted = [DeviceState(2000.0, throttle=(), thermal_violation_ns=ns) for ns in (7.0, 7.0, 9.0, 9.0)]
    assert held_down([burst(state) for state in counted]) == [False, False, True, False]


def test_several_stretches_are_named() -> None:
    slow = DeviceState(1500.0)
    (note,) = held_down_notes([burst(state) for state in [FULL, slow] * 5])
    assert "samples 3 to 4, 7 to 8, 11 to 12 and 2 stretches more of 20, in 5 of 10 bursts" in note


@pytest.mark.parametrize("states", [[FULL, FULL], [None, None], [DeviceState(2000.0, throttle=("power cap",))] * 2])
def test_nothing_is_marked_apart_where_all_are_alike(states: list[DeviceState | None]) -> None:
    assert held_down_notes([burst(state) for state in states]) == ()


def test_heat_late_in_a_run_marks_the_samples_after_it(fake_gpu: ModuleType) -> None:
    """All of them are there, those before at full clocks."""
    gpu: Any = fake_gpu.FakeGpu()
    gpu.sm_clock_mhz = lambda at_ns: 2000.0 if at_ns < 2e9 else 1400.0
    timed = time_calls([gpu.kernel("work", 1e7)], cuda_clocks(gpu)[:1], Effort(max_samples=240, target=0.0))
    marked = held_down(timed.bursts)
    assert marked == sorted(marked)
    assert 0 < sum(marked) < len(marked)
    assert any("are kept (samples " in note for note in timed.notes)
