"""What must not mislead the clocks of a GPU: each fault is simulated, and the time that is read is still the call's."""

from __future__ import annotations

import importlib.util
import random
import statistics
from types import ModuleType
from typing import Any

import pytest

from attnlab.bench.errors import ClockUnsupported, MeasurementError
from attnlab.bench.machine.clocks import cuda_clocks, start_all
from attnlab.bench.machine.clocks.cuda_events import CudaEvents
from attnlab.bench.machine.clocks.cuda_graph import OFF_NS, CudaGraph
from attnlab.bench.machine.clocks.cupti import Cupti, spans
from attnlab.bench.machine.clocks.layout import GRAPH_NS, TINY_NS
from attnlab.bench.machine.gpu import Activity, LaunchCall, Trace
from attnlab.bench.measuring.timing import Effort, time_calls

CLOCKS = [CudaGraph, CudaEvents, Cupti]
BIG = 400_000  # bytes: with a cold L2 a call of it takes 4 µs longer
LENGTHS_NS = [2e3, 5e3, 1e4, 2e4, 3.6e4, 1e5, 2e6]


@pytest.fixture
def gpu(fake_gpu: ModuleType) -> Any:
    return fake_gpu.FakeGpu()


# The null span, and no jump


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("cache", ["cold", "hot"])
@pytest.mark.parametrize("call_ns", LENGTHS_NS)
def test_what_a_span_adds_is_in_no_sample(
    gpu: Any, fake_gpu: ModuleType, clock: Any, cache: str, call_ns: float
) -> None:
    """Moments and the start of a graph take 3.5 µs here, as on an H100: a call of 36 µs would read 10 % long."""
    timer = clock(gpu, cache).start(fake_gpu.rotation(gpu, 2, call_ns, 10), 10)
    timer.burst(2)
    assert timer.burst(4) == pytest.approx([call_ns] * 4, rel=0.002)
    assert timer.null_ns == {CudaGraph: 3_500.0, CudaEvents: 1_500.0, Cupti: None}[clock]


@pytest.mark.parametrize("bytes_a_call", [10, 100_000, 3_000_000])
@pytest.mark.parametrize("copies", [2, 8, 20])
def test_no_length_of_a_call_makes_its_time_jump(
    gpu: Any, fake_gpu: ModuleType, copies: int, bytes_a_call: int
) -> None:
    """Where the start of a graph with work takes longer than that of an empty one, which no null span tells."""
    gpu.first_ns = 1_200.0
    missed_ns = bytes_a_call * gpu.miss_ns_per_byte
    lengths = [missed_ns + step * edge for edge in (TINY_NS, GRAPH_NS / copies, GRAPH_NS) for step in (0.97, 1.03)]
    for call_ns in lengths:
        timer = CudaGraph(gpu).start(fake_gpu.rotation(gpu, copies, call_ns, bytes_a_call), bytes_a_call)
        assert timer.burst(2) == pytest.approx([call_ns + missed_ns] * 2, rel=0.005)


def test_a_slope_scatters_as_its_docstring_says(gpu: Any, fake_gpu: ModuleType) -> None:
    """Spans with noise of 100 ns: the slope over two calls has √6 / 2 of it, and no bias."""
    gpu.noise_ns = iter_noise = random.Random(0)
    gpu.noise_ns = lambda: iter_noise.gauss(0, 100 / 2**0.5)
    timer = CudaGraph(gpu).start(fake_gpu.rotation(gpu, 2, 10_000, 10), 10)
    samples = timer.burst(1_500)
    assert statistics.stdev(samples) == pytest.approx(100 * 6**0.5 / 2, rel=0.1)
    assert statistics.mean(samples) == pytest.approx(10_000, rel=0.002)


def test_a_slope_with_noise_of_long_calls_leans_on_the_null_span(gpu: Any, fake_gpu: ModuleType) -> None:
    """Noise of 20 µs in a span is no reason to take 20 µs off: the constant stays near the null span."""
    noise = random.Random(0)
    gpu.noise_ns = lambda: noise.gauss(0, 20_000)
    timer = CudaGraph(gpu).start(fake_gpu.rotation(gpu, 2, 150_000, 10), 10)
    assert statistics.stdev(timer.burst(500)) < 1.1 * 20_000 * 2**0.5 / 2


# Data and work that calls share


def test_calls_that_share_data_are_told(gpu: Any) -> None:
    """The second of a graph finds what the first has read."""
    shared = [gpu.kernel("work", 5e3, ("the same", BIG))] * 2
    timer = CudaGraph(gpu).start(shared, BIG)
    timer.burst(5)
    (note,) = timer.notes()
    assert note.startswith("its calls take 4.00 µs less one after another than apart, beyond the null span of 3.50 µs")


def test_one_call_that_does_the_work_of_all_gains_nothing(gpu: Any) -> None:
    """All queued inputs computed in the first call: the others return what it made."""
    greedy = [gpu.kernel("both", 2e4), lambda: None]
    timer = CudaGraph(gpu).start(greedy, 0)
    assert timer.burst(4) == pytest.approx([1e4] * 4)
    events = CudaEvents(gpu).start(greedy, 0)
    events.burst(20)
    assert any(
        "0 ns on one set of inputs and 20.0 µs on another: one may do another's work" in n for n in events.notes()
    )
    long = CudaGraph(gpu).start([gpu.kernel("both", 2e6), lambda: None], 0, plan=None)
    long.burst(20)
    assert long.notes() != ()


@pytest.mark.parametrize("clock", [CudaEvents, Cupti])
def test_a_result_kept_by_version_is_of_no_use(gpu: Any, clock: Any) -> None:
    """The call computes only where its inputs were renewed since it last did, and for all sets at once."""

    class Caching:
        fresh = False

        def renew(self) -> None:
            self.fresh = True

        def __call__(self) -> None:
            gpu.kernel("work" if self.fresh else "nothing", 1e5 if self.fresh else 0.0)()
            self.fresh = False

    timer = clock(gpu).start([Caching(), Caching()], 0)
    assert timer.burst(8) == pytest.approx([1e5] * 8)


def test_calls_that_are_slow_in_the_parts_alone_gain_little_and_are_told(gpu: Any) -> None:
    """A call that knows which graph it is captured in could lengthen the parts, and so shorten the slope."""
    captures = 0

    def call() -> None:
        nonlocal captures
        captures += gpu.capturing is not None
        gpu.kernel("work", 1e5 if gpu.capturing is not None and captures <= 2 else 2e4)()

    timer = CudaGraph(gpu).start([call, call], 0)
    assert min(timer.burst(4)) >= 2e4 - OFF_NS / 2
    assert "than apart" in timer.notes()[0]


# The L2


def test_a_flush_by_reading_leaves_nothing_to_write_back(gpu: Any, fake_gpu: ModuleType) -> None:
    """What a writing one leaves is written back in the span of a call that needs the room."""
    read, written = (
        statistics.median(CudaEvents(gpu, "cold", writing).start(fake_gpu.rotation(gpu, 2, 2e4, BIG), BIG).burst(4))
        for writing in (False, True)
    )
    assert read == pytest.approx(2e4 + BIG * gpu.miss_ns_per_byte)
    assert written == pytest.approx(read + BIG * gpu.back_ns_per_byte)


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("call_ns", [5e3, 1e6])
def test_hot_is_hot_though_the_sets_of_inputs_evict_each_other(
    gpu: Any, fake_gpu: ModuleType, clock: Any, call_ns: float
) -> None:
    timer = clock(gpu, "hot").start(fake_gpu.rotation(gpu, 2, call_ns, 900_000), 900_000)
    assert timer.burst(4) == pytest.approx([call_ns] * 4)
    assert timer.notes() == ()


def test_what_is_looked_at_is_what_a_timed_call_returned(gpu: Any) -> None:
    """And not what the call before it did, which is there to warm the L2."""

    class Counting:
        outputs: object = None
        calls = 0
        looked_at: list[object] = []  # noqa: RUF012

        def renew(self) -> None:
            self.looked_at.append(self.outputs)

        def __call__(self) -> None:
            gpu.kernel("work", 1e5)()
            self.calls += 1
            self.outputs = self.calls

    call = Counting()
    timer = CudaEvents(gpu, "hot").start([call], 0)
    first = call.calls
    timer.burst(3)
    assert call.looked_at == [first, first + 2, first + 4]


def test_what_is_not_hot_is_told(gpu: Any, fake_gpu: ModuleType) -> None:
    gpu.spin_evicts = True
    timer = CudaGraph(gpu, "hot").start(fake_gpu.rotation(gpu, 2, 5e3, 900_000), 900_000)
    assert timer.notes() == ("not hot: a call takes 14.0 µs where one right after it on the same inputs takes 5.00 µs",)


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_part_of_the_l2_that_was_set_aside_is_given_back(gpu: Any, clock: Any) -> None:
    """Set aside while things were prepared, it would keep the data of each call through every flush."""
    gpu.set_aside = BIG
    calls = [gpu.kernel("work", 1e5, (f"inputs {n}", BIG), keeps=True) for n in range(2)]
    timer = clock(gpu).start(calls, BIG)
    assert timer.burst(4) == pytest.approx([1e5 + BIG * gpu.miss_ns_per_byte] * 4)
    assert timer.notes() == ()


@pytest.mark.parametrize("clock", [CudaEvents, Cupti])
def test_calls_that_set_a_part_of_the_l2_aside_are_told(gpu: Any, clock: Any) -> None:
    def call() -> None:
        gpu.set_aside = BIG
        gpu.kernel("work", 1e5, ("inputs", BIG), keeps=True)()

    timer = clock(gpu).start([call], BIG)
    assert min(timer.burst(4)) == pytest.approx(1e5), "this is the fault"
    assert timer.notes()[0].startswith("its calls set 391 KiB of the L2 aside for data that stays")


# Other streams


@pytest.mark.parametrize("forks", [True, False])
def test_work_that_no_stream_waits_for_has_no_time_by_moments(gpu: Any, forks: bool) -> None:
    """CUPTI sees it, wherever it runs."""
    call = gpu.aside("work", 1e5, forks=forks)
    for clock in (CudaGraph, CudaEvents):
        with pytest.raises(
            ClockUnsupported, match=r"the device works on for .* after the stream of 32 of its calls is done"
        ):
            clock(gpu).start([call], 0)
    with pytest.raises(MeasurementError, match="no clock can time this"):
        start_all([CudaGraph(gpu), CudaEvents(gpu)], [call])
    (timer,) = start_all([CudaGraph(gpu), CudaEvents(gpu), Cupti(gpu)], [call]).timers
    assert timer.burst(3) == pytest.approx([1e5] * 3)


def test_short_work_that_waits_for_the_stream_is_seen_though_its_launch_takes_longer(gpu: Any) -> None:
    with pytest.raises(ClockUnsupported, match=r"the device works on for 64\.0 µs"):
        CudaEvents(gpu).start([gpu.aside("work", 2e3, forks=True)], 0)


@pytest.mark.parametrize("clock", CLOCKS)
def test_work_on_another_stream_that_is_waited_for_is_in_the_span(gpu: Any, clock: Any) -> None:
    calls = [gpu.aside("work", 1e5, forks=True, joins=True)] * 2
    assert clock(gpu).start(calls, 0).burst(3) == pytest.approx([1e5] * 3)


def test_work_that_waits_for_nothing_and_is_over_before_the_stream_is_shows_beside_cupti(
    gpu: Any, monkeypatch: Any
) -> None:
    """Shorter than its launch, it leaves nothing behind; a replayed graph does not hold it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    gpu.launch_ns = 20_000.0
    timed = time_calls([gpu.aside("work", 15e3)] * 2, cuda_clocks(gpu), Effort(sampling_limit_s=0.1))
    (note,) = [note for note in timed.notes if "CUPTI" in note]
    assert note == (
        "CUPTI, which sees all streams, reads far more than cuda_graph: work may lie outside its span "
        "(15.0 µs and 0 ns)"
    )


# CUPTI


def test_activities_without_times_are_no_times_of_zero() -> None:
    launched = tuple(LaunchCall(at, number) for number, at in enumerate([10, 20]))
    found = spans([(5, 15), (16, 30)], Trace(launched, (Activity(0, 0, 0), Activity(100, 140, 1))))
    assert found == [None, 40.0]


def test_a_call_of_which_a_kernel_is_missing_has_no_time() -> None:
    launched = tuple(LaunchCall(10 * n, n) for n in range(6))
    seen = tuple(Activity(100 * n, 100 * n + 50, n) for n in range(6) if n != 3)
    assert spans([(0, 20), (20, 40), (40, 60)], Trace(launched, seen)) == [150.0, None, 150.0]
    assert spans([(0, 20)], Trace((), ())) == [None]
