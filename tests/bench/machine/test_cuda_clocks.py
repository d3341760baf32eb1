"""Clocks of a GPU, on a simulated one: what is timed, what is kept out of the span, and what they fall back on."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import pytest

from attnlab.bench.errors import ClockUnsupported, MeasurementError, UsageError
from attnlab.bench.machine.clocks import cuda_clocks, start_all
from attnlab.bench.machine.clocks.cuda_events import CudaEvents
from attnlab.bench.machine.clocks.cuda_graph import CudaGraph
from attnlab.bench.machine.clocks.cupti import Cupti, spans
from attnlab.bench.machine.clocks.spans import HIDE_NS, MAX_HIDE_NS, rough_ns
from attnlab.bench.machine.gpu import Activity, LaunchCall, Trace
from attnlab.bench.measuring.timing import Effort, time_calls

CLOCKS = [CudaGraph, CudaEvents, Cupti]
BIG = 400_000  # bytes: with a cold L2 a call of it takes 4 µs longer


@pytest.fixture
def gpu(fake_gpu: ModuleType) -> Any:
    return fake_gpu.FakeGpu()


def without_cupti(patch: pytest.MonkeyPatch, there: bool = False) -> None:
    patch.setattr(importlib.util, "find_spec", lambda name: object() if there else None)


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_span_is_device_time_alone(gpu: Any, clock: Any) -> None:
    """A call takes 100 µs, less than its launch and the flush before it; the flush takes as long again."""
    gpu.launch_ns = 30_000
    timer = clock(gpu).start([gpu.kernel("work", 1e5)] * 2, 0)
    assert timer.burst(3) == pytest.approx([1e5] * 3)
    assert (timer.clock, timer.cache, timer.notes()) == (clock.name, "cold", ())


@pytest.mark.parametrize("clock", CLOCKS)
def test_cold_data_is_read_from_memory_and_hot_data_is_not(gpu: Any, clock: Any) -> None:
    def times(cache: str) -> list[float]:
        timer = clock(gpu, cache).start([gpu.kernel("work", 1e5, ("a", BIG))], BIG)
        timer.burst(1)
        return timer.burst(3)

    assert times("cold") == pytest.approx([1e5 + BIG * gpu.miss_ns_per_byte] * 3)
    gpu.said.clear()
    assert times("hot") == pytest.approx([1e5] * 3)
    assert "flush" not in gpu.said


@pytest.mark.parametrize(("clock", "what"), [(CudaGraph, "replay of 1"), (CudaEvents, "work")])
def test_flush_and_wait_come_before_the_first_moment(gpu: Any, clock: Any, what: str) -> None:
    timer = clock(gpu).start([gpu.kernel("work", 1e5)], 0)
    gpu.said.clear()
    timer.burst(2)
    assert gpu.said == ["synchronise", *["flush", "spin", "moment", what, "moment"] * 2, "synchronise"]


def test_calls_rotate_over_bursts(gpu: Any, fake_gpu: ModuleType) -> None:
    timer = CudaEvents(gpu).start(fake_gpu.rotation(gpu, 3, 1e5, 10), 10)
    gpu.said.clear()
    timer.burst(2)
    timer.burst(2)
    assert [said for said in gpu.said if said.startswith("call")] == ["call 0", "call 1", "call 2", "call 0"]


# Renewal


@pytest.mark.parametrize("clock", CLOCKS)
def test_inputs_are_renewed_outside_all_spans(gpu: Any, clock: Any) -> None:
    """Before each call that is made; once a burst, and then waited for, where captured calls are replayed."""

    class Renewing:
        def renew(self) -> None:
            gpu.kernel("renewal", 5e6)()

        def __call__(self) -> None:
            gpu.kernel("work", 1e5)()

    timer = clock(gpu).start([Renewing(), Renewing()], 0)
    gpu.said.clear()
    assert timer.burst(6) == pytest.approx([1e5] * 6)
    assert gpu.said.count("renewal") == (2 if clock is CudaGraph else 6)
    if clock is CudaGraph:
        assert gpu.said[:3] == ["renewal", "renewal", "synchronise"]


class Keeping:
    """A call that keeps what it returned."""

    def __init__(self, call: Any) -> None:
        self._call, self.made = call, 0
        self.outputs: object = None

    def __call__(self) -> None:
        self._call()
        self.made += 1
        self.outputs = f"output {self.made}"


def test_what_a_replay_writes_is_what_the_check_sees(gpu: Any) -> None:
    """An eager call in between leaves its own output behind, which a replay does not write."""
    call = Keeping(gpu.kernel("work", 1e6))
    timer = CudaGraph(gpu).start([call], 0)
    captured = f"output {call.made}"
    call()
    assert call.outputs != captured
    timer.burst(1)
    assert call.outputs == captured


# Falling back


def test_a_call_that_waits_for_the_device_is_timed_by_events_and_said_so(gpu: Any, monkeypatch: Any) -> None:
    without_cupti(monkeypatch)
    started = start_all(cuda_clocks(gpu), [gpu.waiting(gpu.kernel("work", 1e5))])
    assert [timer.clock for timer in started.timers] == ["cuda_events"]
    assert started.notes == (
        "no times by clock cuda_graph: it cannot be captured in a CUDA graph: "
        "operation not permitted when stream is capturing",
    )


def test_a_refused_capture_falls_back_in_a_whole_measurement(gpu: Any, monkeypatch: Any) -> None:
    without_cupti(monkeypatch)
    gpu.refuses_capture = "it cannot be captured in a CUDA graph: no"
    timed = time_calls([gpu.kernel("work", 1e6)], cuda_clocks(gpu), Effort(sampling_limit_s=0.1))
    assert (timed.record.clock, timed.record.cache) == ("cuda_events", "cold")
    assert timed.notes == ("no times by clock cuda_graph: it cannot be captured in a CUDA graph: no",)
    assert timed.summary.median == pytest.approx(1e6)


def test_out_of_memory_in_a_capture_falls_back(gpu: Any, monkeypatch: Any) -> None:
    def exhausted(work: Any, share: Any = None) -> Any:
        raise MemoryError("8 GiB asked for")

    monkeypatch.setattr(gpu, "capture", exhausted)
    with pytest.raises(ClockUnsupported, match="its graphs do not fit into memory: 8 GiB asked for"):
        CudaGraph(gpu).start([gpu.kernel("work", 1e5)], 0)


def test_graph_is_preferred_and_the_others_stand_beside_it(gpu: Any, monkeypatch: Any) -> None:
    without_cupti(monkeypatch, there=True)
    timed = time_calls([gpu.kernel("work", 1e6)], cuda_clocks(gpu), Effort(sampling_limit_s=0.1))
    assert timed.record.clock == "cuda_graph"
    assert [series.clock for series in timed.bursts[0].series] == ["cuda_graph", "cuda_events", "cupti"]
    assert timed.record.calls_a_sample == 1
    assert timed.notes == ()


def test_clocks_without_cupti_do_not_mention_it(gpu: Any, monkeypatch: Any) -> None:
    without_cupti(monkeypatch)
    assert [clock.name for clock in cuda_clocks(gpu)] == ["cuda_graph", "cuda_events"]


def test_a_cache_state_that_is_none(gpu: Any) -> None:
    with pytest.raises(UsageError, match="got cache 'warm'; expected cold or hot"):
        cuda_clocks(gpu, "warm")


# Hiding the launch


def test_a_slow_launch_is_hidden_once_it_was_seen(gpu: Any) -> None:
    """Five kernels of 10 µs, launched in 2.5 ms: the first burst has gaps, those after do not."""
    gpu.launch_ns = 500_000

    def call() -> None:
        for _ in range(5):
            gpu.kernel("work", 1e4)()

    timer = CudaEvents(gpu).start([call], 0)
    assert timer.burst(1)[0] > 5e5
    for _ in range(5):
        timer.burst(1)
    assert timer.burst(2) == pytest.approx([5e4, 5e4])
    assert timer.notes() == ()


def test_a_call_that_waits_cannot_be_hidden_and_that_is_said(gpu: Any) -> None:
    timer = CudaEvents(gpu).start([gpu.waiting(gpu.kernel("work", 1e4))], 0)
    for _ in range(12):
        timer.burst(1)
    (note,) = timer.notes()
    assert "could not be hidden" in note
    before = gpu.device_ns
    timer.burst(1)
    assert gpu.device_ns - before < 3 * HIDE_NS < MAX_HIDE_NS, "and it is not waited for any longer"


@pytest.mark.parametrize(("ns", "calls"), [(5e6, 1), (1e4, 11)])
def test_a_rough_time_costs_one_long_call_or_several_short_ones(gpu: Any, ns: float, calls: int) -> None:
    assert rough_ns(gpu, [gpu.kernel("work", ns)]) == pytest.approx(ns, rel=0.04)
    assert gpu.said.count("work") == calls


# CUPTI


def test_cupti_spans_from_first_start_to_last_end_of_what_a_call_launched() -> None:
    """Two kernels of the first call, one launched through the driver; a flush between; none of the third."""
    launched = tuple(LaunchCall(at, number) for number, at in enumerate([10, 20, 50, 110]))
    activities = (
        Activity(100, 150, 0),
        Activity(160, 200, 1),
        Activity(200, 900, 2),  # the flush, launched between two windows
        Activity(900, 930, 3),
    )
    found = spans([(5, 30), (100, 120), (130, 140)], Trace(launched, activities))
    assert found == [100.0, 30.0, None]


def test_cupti_without_its_package_is_unsupported(gpu: Any) -> None:
    gpu.sees = False
    with pytest.raises(ClockUnsupported, match="cupti-python"):
        Cupti(gpu).start([gpu.kernel("work", 1e5)], 0)


def test_cupti_that_sees_nothing_is_unsupported(gpu: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu, "collect", lambda: Trace((), ()))
    with pytest.raises(ClockUnsupported, match="CUPTI saw no activity of 1 calls"):
        Cupti(gpu).start([gpu.kernel("work", 1e5)], 0)


def test_calls_that_cupti_dropped_are_left_out_and_counted(gpu: Any, monkeypatch: Any) -> None:
    timer = Cupti(gpu).start([gpu.kernel("work", 1e5)], 0)
    whole = gpu.collect
    monkeypatch.setattr(gpu, "collect", lambda: Trace(whole().launched, whole().activities[:3]))  # flush, wait, call
    assert timer.burst(3) == pytest.approx([1e5])
    assert timer.notes() == ("CUPTI saw nothing or too little of 2 calls; their times are left out",)
    monkeypatch.setattr(gpu, "collect", lambda: Trace((), ()))
    with pytest.raises(MeasurementError, match="CUPTI saw no activity of 3 calls"):
        timer.burst(3)
