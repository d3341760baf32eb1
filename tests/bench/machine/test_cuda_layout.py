"""How calls are laid out in CUDA graphs: cold or hot as asked for, bounded in number, and alike by a plan."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from attnlab.bench.errors import MeasurementError
from attnlab.bench.machine.clocks import copies_wanted, cuda_clocks, start_all
from attnlab.bench.machine.clocks.cuda_events import CudaEvents
from attnlab.bench.machine.clocks.cuda_graph import CudaGraph
from attnlab.bench.machine.clocks.layout import GRAPH_NS, MAX_CALLS, MAX_COPIES, SLOPE_COPIES, lay_out
from attnlab.bench.machine.clocks.spans import MAX_SPANS
from attnlab.bench.store.codec import decode, encode
from attnlab.bench.store.plan import Plan

L2 = 1_000_000


@pytest.fixture
def gpu(fake_gpu: ModuleType) -> Any:
    return fake_gpu.FakeGpu()


@pytest.mark.parametrize(
    ("call_ns", "copies", "bytes_a_call", "calls", "copies_a_graph", "sloped"),
    [
        (2_000, 10, 300_000, 200, 10, False),  # three times the L2: they rotate
        (2_000, 20, 100_000, 200, 20, False),
        (150_000, 2, L2, 4, 2, False),  # as long as that too
        (300_000, 2, L2, 2, 2, False),
        (GRAPH_NS, 2, L2, 1, 1, False),  # long enough for a graph of its own
        (2_000, 2, 300_000, 2, 2, True),  # each set once, after the flush
        (2_000, 9, 100_000, 9, 9, True),
        (199_000, 2, 10, 2, 2, True),
        (201_000, 2, 10, 2, 2, False),  # two of them are long enough
        (2_000, 2, 0, 2, 2, True),
        (0.0, 3, L2, MAX_CALLS + 2, 3, False),  # bounded, however short
        (0.0, 3, 0, 3, 3, True),
        (1e9, 3, 0, 1, 1, False),
    ],
)
def test_cold_layouts(
    call_ns: float, copies: int, bytes_a_call: int, calls: int, copies_a_graph: int, sloped: bool
) -> None:
    plan = lay_out("cold", call_ns, copies, bytes_a_call, L2)
    assert plan == Plan("cuda_graph", "cold", copies, calls, copies_a_graph, sloped)


@pytest.mark.parametrize(
    ("call_ns", "copies", "bytes_a_call", "calls", "copies_a_graph"),
    [
        (2_000, 2, 100, 200, 2),
        (2_000, 2, 300_000, 200, 1),  # together they do not surely stay: each in a graph of its own
        (2_000, 2, 0, 200, 1),
        (1e6, 2, 100, 1, 1),
        (0.0, 3, 100, MAX_CALLS + 2, 3),
    ],
)
def test_hot_layouts(call_ns: float, copies: int, bytes_a_call: int, calls: int, copies_a_graph: int) -> None:
    assert lay_out("hot", call_ns, copies, bytes_a_call, L2) == Plan("cuda_graph", "hot", copies, calls, copies_a_graph)


def test_what_cannot_be_as_asked_for_is_said() -> None:
    assert "one set of inputs allows one call a graph" in (lay_out("cold", 2_000, 1, 0, L2).note or "")
    assert "not hot: its 2.86 MiB do not fit into the L2" in (lay_out("hot", 2_000, 2, 3 * L2, L2).note or "")


@pytest.mark.parametrize(
    ("ns", "bytes_a_call", "cache", "copies"),
    [
        (2_000, 100_000, "cold", 20),
        (2_000, 63_000, "cold", MAX_COPIES),
        (2_000, 60_000, "cold", SLOPE_COPIES),  # 34 would be needed: too many to make and check
        (2_000, 5_000_000, "cold", 2),
        (2_000, 100_000, "hot", 2),
        (50_000, 100_000, "cold", 2),  # long enough for two to give a slope
        (2_000, 0, "cold", 2),
    ],
)
def test_sets_of_inputs_for_tiny_calls(gpu: Any, ns: float, bytes_a_call: int, cache: str, copies: int) -> None:
    clocks = cuda_clocks(gpu, cache)
    assert copies_wanted(clocks, gpu.kernel("work", ns), bytes_a_call) == copies
    assert copies_wanted(clocks[1:], gpu.kernel("work", ns), bytes_a_call) == 2, "events flush before each call"


@pytest.mark.parametrize("ns", [0.0, 1.0, 2_000.0])
@pytest.mark.parametrize(("cache", "bytes_a_call"), [("cold", 0), ("cold", L2), ("hot", 0), ("hot", 100)])
def test_graphs_are_bounded_in_number_and_size_however_short_a_call_is(
    gpu: Any, fake_gpu: ModuleType, ns: float, cache: str, bytes_a_call: int
) -> None:
    timer: Any = CudaGraph(gpu, cache).start(fake_gpu.rotation(gpu, 3, ns, bytes_a_call), bytes_a_call)
    assert len(timer._graphs) <= 7
    assert max(len(graph.works) for graph in timer._graphs) <= MAX_CALLS + 2


@pytest.mark.parametrize("clock", [CudaGraph, CudaEvents])
def test_moments_are_bounded_in_number_however_many_samples_are_asked_for(
    gpu: Any, fake_gpu: ModuleType, clock: Any
) -> None:
    timer = clock(gpu).start(fake_gpu.rotation(gpu, 2, 0.0, 0), 0)
    assert len(timer.burst(600)) == 600
    before = gpu.moments
    timer.burst(600)
    assert gpu.moments == before <= 2 * MAX_SPANS + 20, "those of the burst before are used again"


def test_calls_of_a_graph_that_rotates_find_their_data_gone(gpu: Any, fake_gpu: ModuleType) -> None:
    """Calls of 2 µs on 10 sets of 300 kB: three times the L2, so that each finds its own data gone."""
    timer = CudaGraph(gpu).start(fake_gpu.rotation(gpu, 10, 2_000, 300_000), 300_000)
    assert timer.burst(4) == pytest.approx([2_000 + 300_000 * gpu.miss_ns_per_byte] * 4)
    assert timer.calls_a_sample == 80
    assert timer.notes() == ()


def test_a_rotation_that_does_not_exceed_the_l2_would_read_as_cold_what_is_hot(gpu: Any, fake_gpu: ModuleType) -> None:
    """The rule is there for a reason: of inputs that fit into the L2 together nothing is missed."""
    calls = fake_gpu.rotation(gpu, 3, 2_000, 300_000)
    for call in calls:
        call()
    gpu.synchronise()
    before = gpu.device_ns
    graph = gpu.capture(lambda: [call() for call in calls])
    graph.replay()
    assert gpu.device_ns - before < 3 * 2_000 + 2 * gpu.launch_ns


def test_graphs_share_their_memory(gpu: Any, fake_gpu: ModuleType) -> None:
    timer: Any = CudaGraph(gpu).start(fake_gpu.rotation(gpu, 3, 1e6, 10), 10)
    assert [graph.shared for graph in timer._graphs] == [False, True, True, True, True]


# Plans that are given


def test_a_plan_is_kept_by_another_timer_whatever_the_call_takes_there(gpu: Any, fake_gpu: ModuleType) -> None:
    """Calls of about 5 µs that are estimated at 4.7 and at 5.3: planned apart they differ."""
    first, second = (fake_gpu.rotation(gpu, 2, ns, 10) for ns in (4_700, 5_300))
    hot = CudaGraph(gpu, "hot")
    planned = hot.start(first, 10)
    assert planned.calls_a_sample != hot.start(second, 10).calls_a_sample
    plan = decode(Plan, json.loads(json.dumps(encode(planned.plan))))
    again = hot.start(second, 10, plan)
    assert (again.plan, again.calls_a_sample) == (planned.plan, planned.calls_a_sample)
    (started,) = start_all([hot], second, 10, plan).timers
    assert started.plan == plan
    (events,) = start_all([CudaEvents(gpu)], second, 10, plan).timers
    assert events.plan is None, "the plan of another clock says nothing to it"
    assert copies_wanted([CudaGraph(gpu)], first[0], 10, plan) == 2


@pytest.mark.parametrize(("copies", "cache"), [(3, "cold"), (2, "hot")])
def test_a_plan_for_something_else_is_refused(gpu: Any, fake_gpu: ModuleType, copies: int, cache: str) -> None:
    plan = CudaGraph(gpu).start(fake_gpu.rotation(gpu, 2, 1e5, 10), 10).plan
    with pytest.raises(MeasurementError, match=f"got {copies} sets of inputs and a {cache} L2, but .* 2 and cold"):
        CudaGraph(gpu, cache).start(fake_gpu.rotation(gpu, copies, 1e5, 10), 10, plan)
