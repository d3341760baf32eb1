"""Clock `cuda_graph`: device time of calls captured in CUDA graphs and replayed, without what a span adds to them."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from attnlab.bench import units
from attnlab.bench.errors import ClockUnsupported, MeasurementError
from attnlab.bench.machine.clocks.clock import HOT, Call, ClockKind, KeepsOutputs, Timer, renew
from attnlab.bench.machine.clocks.eager import Rotation, refuse_work_elsewhere
from attnlab.bench.machine.clocks.layout import GRAPHS, copies_for, lay_out
from attnlab.bench.machine.clocks.spans import Spans, TimedWork, rough_ns
from attnlab.bench.machine.gpu import Gpu, Graph
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import DeviceState

OFF_NS = 2_000  # that the constant part of a span may differ from the null span, which is read of empty kernels
NOT_HOT = 1.05  # a first call over one right after it, beyond which it did not find its data in the L2
HOT_SPANS = 15


class CudaGraph:
    """Device time of a replayed graph, less the constant part of a span, over the calls in the graph.

    See `layout` for which calls share a graph. What a span has beyond its calls is read of graphs of empty kernels, the
    null span, and subtracted. Where that is no small part of a graph, it is found from the calls themselves: they are
    captured whole (W) and in two parts (A, B), and the constant of a sample is A + B − W, which each set of inputs
    enters alike; it may differ from the null span by `OFF_NS` at most. A sample is then (W − (A + B − W)) / calls,
    the slope of time over calls. With σ of one span's own noise and τ of one call's, its variance is
    (6 σ² + 5 n τ²) / n² for n calls, where a span less a known constant has (σ² + n τ²) / n².
    """

    name = GRAPHS

    def __init__(self, gpu: Gpu, cache: str = "cold", writing: bool = False) -> None:
        self._gpu, self._cache, self._writing = gpu, cache, writing

    def start(self, calls: Sequence[Call], bytes_a_call: int, plan: Plan | None = None) -> Timer:
        call_ns = rough_ns(self._gpu, calls)
        refuse_work_elsewhere(self._gpu, calls, call_ns)
        plan = plan or lay_out(self._cache, call_ns, len(calls), bytes_a_call, self._gpu.l2_bytes)
        if (plan.copies, plan.cache) != (len(calls), self._cache):
            raise MeasurementError(
                f"got {len(calls)} sets of inputs and a {self._cache} L2, but the plan that was given is for "
                f"{plan.copies} and {plan.cache}: make as many as `copies_wanted` says with that plan"
            )
        try:
            return _GraphTimer(self._gpu, calls, plan, Spans(self._gpu, self._cache, self._writing))
        except MemoryError as error:
            raise ClockUnsupported(f"its graphs do not fit into memory: {error}") from error

    def copies(self, call: Call, bytes_a_call: int) -> int:
        """How many sets of inputs calls should rotate through."""
        return copies_for(self._cache, rough_ns(self._gpu, [call]), bytes_a_call, self._gpu.l2_bytes)


CLOCK = ClockKind(CudaGraph.name, "cuda", 10, CudaGraph)


class _GraphTimer:
    clock = GRAPHS

    def __init__(self, gpu: Gpu, calls: Sequence[Call], plan: Plan, spans: Spans) -> None:
        self.cache, self.calls_a_sample, self.plan = plan.cache, plan.calls_a_graph, plan
        self._gpu, self._spans, self._calls = gpu, spans, tuple(calls)
        self._graphs: list[Graph] = []
        self._kept: list[object] = []  # outputs of graphs whose memory must not be given to others
        self._parts = [self._captured(part) for part in _parts(self._calls)] if plan.sloped else []
        self._wholes = [self._captured(group) for group in _groups(self._calls, plan)]
        # What the captured calls returned is written anew by each replay.
        self._outputs = [call.outputs if isinstance(call, KeepsOutputs) else None for call in self._calls]
        self._rotation = Rotation([graph.replay for graph in self._wholes], self.cache)
        empty = [self._captured([lambda: gpu.spin(0)] * count) for count in (1, 2)]
        self.null_ns: float | None = spans.null_ns(*(graph.replay for graph in empty))
        self._constants_ns: list[float] = []
        self._hot_note = self._why_not_hot() if self.cache == HOT and plan.note is None else None

    def burst(self, count: int) -> list[float]:
        renew(self._calls)
        taken = self._rotation.take(count)
        found = self._sloped(count) if self.plan.sloped else self._plain([piece for _, piece in taken])
        samples = [span / self.plan.calls_a_graph for span in found]
        for (group, _), sample in zip(taken, samples, strict=True):
            self._rotation.saw(group, sample)
        for call, outputs in zip(self._calls, self._outputs, strict=True):
            if isinstance(call, KeepsOutputs):
                call.outputs = outputs
        return samples

    def _plain(self, pieces: Sequence[TimedWork]) -> list[float]:
        return [span - (self.null_ns or 0.0) for span in self._spans.burst(pieces)]

    def _sloped(self, count: int) -> list[float]:
        (whole,), (one, other), null_ns = self._wholes, self._parts, self.null_ns or 0.0
        found = self._spans.burst([TimedWork(one.replay), TimedWork(whole.replay), TimedWork(other.replay)] * count)
        samples = []
        for a, w, b in zip(found[::3], found[1::3], found[2::3], strict=True):
            self._constants_ns.append(a + b - w)
            samples.append(w - min(max(a + b - w, null_ns - OFF_NS), null_ns + OFF_NS))
        del self._constants_ns[:-1_000]
        return samples

    def state(self) -> DeviceState | None:
        return self._gpu.state()

    def notes(self) -> tuple[str, ...]:
        own = (self.plan.note, self._hot_note, self._why_not_additive())
        return (*self._spans.notes(), *self._rotation.notes(), *(note for note in own if note is not None))

    def _why_not_additive(self) -> str | None:
        """Whether calls take the same alone and one after another, by the constant that their own graphs have."""
        if not self._constants_ns:
            return None
        null_ns = self.null_ns or 0.0
        beyond_ns = statistics.median(self._constants_ns) - null_ns
        if abs(beyond_ns) <= OFF_NS:
            return None
        change = f"{units.format_time(abs(beyond_ns))} {'less' if beyond_ns > 0 else 'more'}"
        null = units.format_time(null_ns)
        return (
            f"its calls take {change} one after another than apart, beyond the null span of {null}: they share data or "
            "work, so that times may be off by as much over the calls of a sample"
        )

    def _why_not_hot(self) -> str | None:
        """Whether a call finds its data as one that comes right after another on the same inputs does."""
        one, two = (self._captured([self._calls[0]] * count) for count in (1, 2))
        found = self._spans.burst([TimedWork(one.replay, one.replay), TimedWork(two.replay, two.replay)] * HOT_SPANS)
        span_ns = statistics.median(found[::2])
        first_ns, second_ns = span_ns - (self.null_ns or 0.0), statistics.median(found[1::2]) - span_ns
        if first_ns <= NOT_HOT * second_ns + OFF_NS:
            return None
        return (
            f"not hot: a call takes {units.format_time(first_ns)} where one right after it on the same inputs takes "
            f"{units.format_time(second_ns)}"
        )

    def _captured(self, calls: Sequence[Call]) -> Graph:
        def run() -> None:
            for call in calls:
                call()

        graph = self._gpu.capture(run, self._graphs[0] if self._graphs else None)
        self._graphs.append(graph)
        for call in calls[-len(self._calls) :]:
            self._kept += [call.outputs] if isinstance(call, KeepsOutputs) else []
        return graph


def _groups(calls: Sequence[Call], plan: Plan) -> list[list[Call]]:
    """The calls of each graph: those of one set of inputs, or of all in rotation, as often as planned."""
    held = [list(calls)] if plan.copies_a_graph > 1 else [[call] for call in calls]
    return [list(itertools.islice(itertools.cycle(group), plan.calls_a_graph)) for group in held]


def _parts(calls: Sequence[Call]) -> tuple[Sequence[Call], Sequence[Call]]:
    half = len(calls) // 2
    return calls[:half], calls[half:]
