"""What the states of a GPU and of the host mean for samples taken meanwhile: told, and nothing is discarded."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from attnlab.bench.machine.clocks import cuda_clocks
from attnlab.bench.machine.gpu.nvml import Nvml, words
from attnlab.bench.machine.throttling import burst_notes, contended, cores_used_by_others, state_notes
from attnlab.bench.measuring.timing import Effort, time_calls
from attnlab.bench.store.records import Burst, DeviceState, HostState, Series

COOL = DeviceState(sm_clock_mhz=1980.0, throttle=(), thermal_violation_ns=7e6)
QUICK = Effort(target=1e-9, sampling_limit_s=1e6, min_samples=240, max_samples=240)
HEAT = 2e9  # ns of device time, after which the simulated GPU is hot


def test_a_cool_gpu_needs_no_word() -> None:
    assert state_notes([COOL, COOL, DeviceState()]) == ()
    assert state_notes([DeviceState(throttle=("idle", "application clocks"))]) == ()
    assert state_notes([]) == ()


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("thermal, by the driver", "by heat"),
        ("power cap", "by its power limit"),
        ("power brake", "by its power limit"),
        ("hardware slowdown", "by its hardware"),
    ],
)
def test_what_holds_the_clocks_down_is_told(reason: str, words: str) -> None:
    (note,) = state_notes([COOL, DeviceState(throttle=(reason,)), COOL])
    assert note.startswith(f"the GPU's clocks were held down {words} in 1 of 3 bursts: ")


def test_heat_between_two_looks_shows_in_the_counter() -> None:
    (note,) = state_notes([COOL, DeviceState(throttle=(), thermal_violation_ns=9.5e6)])
    assert "held down by heat in 0 of 2 bursts, 2.50 ms of it counted" in note


@pytest.mark.parametrize(("mhz", "told"), [(1900.0, False), (1980.0, False), (2080.0, True)])
def test_a_clock_that_moved_is_told(mhz: float, told: bool) -> None:
    notes = state_notes([COOL, DeviceState(sm_clock_mhz=mhz)])
    expected = ("the SM clock moved between 1980 and 2080 MHz while samples were taken",)
    assert notes == (expected if told else ())


# the host

QUIET = HostState(4e7, cpu_ns=7e7, involuntary_switches=1, waited_ns=1e5, busy_ns=7e7, stolen_ns=0.0, runnable=2)
NEIGHBOUR = replace(QUIET, cpu_ns=4e7, involuntary_switches=9, waited_ns=3e7, busy_ns=8e7, runnable=3)
UNCOUNTED = replace(QUIET, waited_ns=None, busy_ns=None, stolen_ns=None, runnable=None)


def taken(*hosts: HostState | None, clock: str = "wall") -> list[Burst]:
    return [Burst(0.0, (Series("latency", "ns", clock, "lower", (1e6,)),), host=host) for host in hosts]


def test_a_quiet_host_needs_no_word() -> None:
    assert burst_notes(taken(QUIET, QUIET, None, UNCOUNTED)) == ()
    assert not contended(taken(QUIET, QUIET, None))
    assert not contended([])


def test_a_busy_neighbour_is_told_with_a_remedy() -> None:
    """Two threads on two cores with a third that computes: waits of 75 % of the time, summed over threads."""
    bursts = taken(NEIGHBOUR, NEIGHBOUR)
    assert contended(bursts)
    assert burst_notes(bursts) == (
        "the machine was busy: times are too long by an unknown factor; stop what else runs, or give torch no more "
        "threads than cores are free, OMP_NUM_THREADS (its threads waited for a core 75.0 % of the time, summed over "
        "them; up to 3 threads wanted a core at once)",
    )


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (replace(UNCOUNTED, involuntary_switches=6), "its threads were taken off their cores 150 times a second"),
        (replace(UNCOUNTED, cpu_ns=2e7), "it had a core for 50.0 % of the time"),
        (replace(QUIET, stolen_ns=1e7), "the host gave 25.0 % of a core to other machines"),
    ],
)
def test_where_waiting_is_not_counted_other_signs_have_to_do(host: HostState, words: str) -> None:
    (note,) = burst_notes(taken(host))
    assert words in note
    assert contended(taken(host))


def test_a_burst_in_many_that_waited_is_not_the_whole() -> None:
    assert not contended(taken(*[QUIET] * 30, NEIGHBOUR))
    assert contended(taken(*[QUIET] * 10, NEIGHBOUR))


def test_work_on_other_cores_is_told_and_is_no_contention() -> None:
    beside = replace(QUIET, busy_ns=QUIET.cpu_ns + 4e7)
    (note,) = burst_notes(taken(beside))
    assert note == "other processes computed meanwhile, and share caches and memory (1.0 cores)"
    assert not contended(taken(beside))
    assert cores_used_by_others([beside, QUIET]) == pytest.approx(0.5)
    assert cores_used_by_others([UNCOUNTED]) is None


def test_a_gpus_spans_end_without_the_host() -> None:
    assert burst_notes(taken(NEIGHBOUR, clock="cuda_graph")) == ()
    assert not contended(taken(NEIGHBOUR, clock="cuda_graph"))


@pytest.mark.parametrize(("mhz", "told"), [(2900.0, False), (2700.0, True)])
def test_a_processors_clock_that_moved_is_told(mhz: float, told: bool) -> None:
    notes = burst_notes(taken(replace(QUIET, frequency_mhz=2900.0), replace(QUIET, frequency_mhz=mhz)))
    assert bool(notes) is told
    assert all(note.endswith("(2700 to 2900 MHz)") for note in notes)


# the GPU


@pytest.fixture
def heated(fake_gpu: ModuleType) -> Any:
    """A GPU that slows to 70 % of its clock and says why, once it has worked for two seconds."""
    return fake_gpu.FakeGpu(
        sm_clock_mhz=lambda at_ns: 2000.0 if at_ns < HEAT else 1400.0,
        throttle=lambda at_ns: () if at_ns < HEAT else ("thermal, by the driver",),
        violations_ns=lambda at_ns: max(0.0, at_ns - HEAT),
    )


def test_samples_taken_under_heat_are_flagged_and_kept(heated: Any) -> None:
    """30 calls of 10 ms fit before the heat; all 240 samples are there, the later ones longer."""
    timed = time_calls([heated.kernel("work", 1e7)], cuda_clocks(heated)[:1], QUICK)
    states = [burst.state for burst in timed.bursts]
    assert states[0].throttle == ()
    assert states[-1] == DeviceState(
        1400.0, throttle=("thermal, by the driver",), thermal_violation_ns=pytest.approx(heated.device_ns - HEAT)
    )
    assert timed.record.samples == 240
    samples = [v for burst in timed.bursts for v in burst.series[0].values]
    assert min(samples) == pytest.approx(1e7)
    assert max(samples) == pytest.approx(1e7 / 0.7)
    heat, moved, which = timed.notes
    assert heat.startswith("the GPU's clocks were held down by heat in ")
    assert moved == "the SM clock moved between 1400 and 2000 MHz while samples were taken"
    assert "to 240 of 240, in " in which


def test_warm_up_waits_for_the_clock_to_stop_rising(fake_gpu: ModuleType) -> None:
    """A kernel bound by memory keeps its time while the clock still rises; the warm-up is over when it stands."""
    gpu = fake_gpu.FakeGpu(sm_clock_mhz=lambda at_ns: min(2000.0, 1000.0 + at_ns / 1e6))
    steady = SimpleNamespace(
        clock="fake", cache="cold", calls_a_sample=1, plan=None, null_ns=None, state=gpu.state, notes=lambda: ()
    )

    def burst(count: int) -> list[float]:
        gpu.device_ns += count * 3e7
        return [3e7] * count

    steady.burst = burst
    timed = time_calls([], [SimpleNamespace(name="fake", start=lambda calls, size, plan=None: steady)], QUICK)
    assert timed.record.warmup_stable
    assert timed.record.warmup_ns >= 0
    assert timed.record.warmup_calls * 3e7 > 1e9 * 0.9, "the clock reaches 2000 MHz after a second"


def test_a_gpu_that_tells_nothing_has_no_states(fake_gpu: ModuleType) -> None:
    gpu = fake_gpu.FakeGpu(quiet="the package nvidia-ml-py is not installed")
    timed = time_calls([gpu.kernel("work", 1e7)], cuda_clocks(gpu)[:1], QUICK)
    assert {burst.state for burst in timed.bursts} == {None}
    assert timed.notes == ()


# NVML


class NVMLError(Exception):
    """As pynvml names it."""


def stand_in(**missing: Any) -> Any:
    """pynvml, as far as it is used; what is in `missing` raises."""
    answers: dict[str, Any] = {
        "nvmlDeviceGetCurrentClocksEventReasons": 0x24,
        "nvmlDeviceGetClockInfo": {1: 1980, 2: 2619},
        "nvmlDeviceGetMaxClockInfo": {1: 2100},
        "nvmlDeviceGetTemperature": {0: 61},
        "nvmlDeviceGetPowerUsage": 412_500,
        "nvmlDeviceGetTotalEnergyConsumption": 7_000,
        "nvmlDeviceGetViolationStatus": {1: SimpleNamespace(violationTime=5), 0: SimpleNamespace(violationTime=9)},
        "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=11), SimpleNamespace(pid=12)],
    }

    def ask(name: str) -> Any:
        def question(handle: object, *arguments: int) -> Any:
            assert handle == "handle"
            if name in missing:
                raise NVMLError("not supported")
            return answers[name][arguments[0]] if arguments else answers[name]

        return question

    constants = {
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "NVML_TEMPERATURE_GPU": 0,
        "NVML_PERF_POLICY_THERMAL": 1,
        "NVML_PERF_POLICY_POWER": 0,
    }
    return SimpleNamespace(NVMLError=NVMLError, **constants, **{name: ask(name) for name in answers})


def test_nvml_in_our_units() -> None:
    nvml = Nvml(stand_in(), "handle")
    throttle = ("power cap", "thermal, by the driver")
    assert nvml.state() == DeviceState(1980.0, 2619.0, 61.0, 412.5, throttle, 5.0, 9.0, 7.0)
    assert nvml.highest_sm_clock_mhz() == 2100.0
    assert nvml.processes() == (11, 12)


def test_what_nvml_does_not_tell_is_none_and_not_zero() -> None:
    mute = Nvml(stand_in(**dict.fromkeys(vars(stand_in()), True)), "handle")
    assert mute.state() == DeviceState()
    assert (mute.highest_sm_clock_mhz(), mute.processes()) == (None, None)


def test_reasons_in_words() -> None:
    assert words(0) == ()
    assert words(0x1 | 0x40) == ("idle", "thermal, by the hardware")
    assert words(0x1 | 0x800) == ("idle", "reason 0x800")
