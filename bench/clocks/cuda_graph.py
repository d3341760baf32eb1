"""Clock `cuda_graph`: device time of calls captured in a CUDA graph and replayed; several a graph where one is tiny."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from attnlab.bench import units
from attnlab.bench.clocks import Call, KeepsOutputs, Timer, renew
from attnlab.bench.clocks.plan import Plan
from attnlab.bench.clocks.spans import Spans, rough_ns
from attnlab.bench.errors import ClockUnsupported, MeasurementError
from attnlab.bench.gpu import Gpu, Graph
from attnlab.bench.store.records import DeviceState

TINY_NS = 20_000  # below, the start of a graph and the steps of an event's clock are no small part of a call
GRAPH_NS = 10 * TINY_NS  # how long a graph of tiny calls takes, about
MAX_CALLS = 256  # in one graph
OVERFLOW = 2  # bytes that a rotation touches, over the L2's size, for nothing of a call to be left at its next turn
MAX_COPIES = 32  # sets of inputs; each is made, prepared and checked


class CudaGraph:
    """Device time of a replayed graph, over the calls in it.

    A call of 20 µs or more has a graph of its own. Of shorter ones several are captured in one graph, and
    its time is divided among them. With a cold L2, it is emptied before a graph of one call; calls in
    one graph rotate through inputs that together exceed twice its size, and where there are not so many
    each keeps a graph of its own, which `notes` says.
    """

    name = "cuda_graph"

    def __init__(self, gpu: Gpu, cache: str = "cold") -> None:
        self._gpu, self._cache = gpu, cache

    def start(self, calls: Sequence[Call], bytes_a_call: int, plan: Plan | None = None) -> Timer:
        plan = plan or self.plan(rough_ns(self._gpu, calls), len(calls), bytes_a_call)
        if plan.copies != len(calls):
            raise MeasurementError(
                f"got {len(calls)} sets of inputs, but the plan that was given is for {plan.copies}: "
                "make as many as `copies_wanted` says with that plan"
            )
        try:
            return _Timer(self.name, self._cache, self._gpu, calls, plan)
        except MemoryError as error:
            raise ClockUnsupported(f"its graphs do not fit into memory: {error}") from error

    def plan(self, call_ns: float, copies: int, bytes_a_call: int) -> Plan:
        """The layout for calls of about that time, on so many sets of inputs."""
        cold = self._cache == "cold"
        if call_ns >= TINY_NS:
            return Plan(self.name, copies, 1, flush=cold)
        if cold and copies * bytes_a_call < OVERFLOW * self._gpu.l2_bytes:
            held = f"{copies} sets of inputs of {units.format_bytes(bytes_a_call)}" if bytes_a_call else "its inputs"
            return Plan(
                self.name,
                copies,
                1,
                flush=True,
                note=f"one call a graph, though it takes under {units.format_time(TINY_NS)}: {held} do not fill "
                f"twice the L2 of {units.format_bytes(self._gpu.l2_bytes)}",
            )
        rounds = math.ceil(min(MAX_CALLS, GRAPH_NS / max(call_ns, 1.0)) / copies)
        return Plan(self.name, copies, rounds * copies, flush=False)

    def copies(self, call: Call, bytes_a_call: int) -> int:
        """How many sets of inputs calls should rotate through: 2, or what overflows the L2 where a call is tiny."""
        wanted = math.ceil(OVERFLOW * self._gpu.l2_bytes / bytes_a_call) if bytes_a_call else 0
        if self._cache != "cold" or not 2 < wanted <= MAX_COPIES:
            return 2
        return wanted if rough_ns(self._gpu, [call]) < TINY_NS else 2


class _Timer:
    def __init__(self, clock: str, cache: str, gpu: Gpu, calls: Sequence[Call], plan: Plan) -> None:
        self.clock, self.cache, self.calls_a_sample = clock, cache, plan.calls_a_graph
        self._gpu, self.plan = gpu, plan
        self._spans = Spans(gpu, flush=plan.flush)
        self._calls = tuple(calls)
        self._graphs: list[Graph] = []
        for work in self._works():
            self._graphs.append(gpu.capture(work, self._graphs[0] if self._graphs else None))
        # What the captured calls returned is written anew by each replay.
        self._outputs = [call.outputs if isinstance(call, KeepsOutputs) else None for call in self._calls]
        self._rotation = itertools.cycle(self._graphs)

    def burst(self, count: int) -> list[float]:
        renew(self._calls)
        replays = [graph.replay for graph in itertools.islice(self._rotation, count)]
        samples = self._spans.burst(replays)
        for call, outputs in zip(self._calls, self._outputs, strict=True):
            if isinstance(call, KeepsOutputs):
                call.outputs = outputs
        return [sample / self.plan.calls_a_graph for sample in samples]

    def state(self) -> DeviceState | None:
        return self._gpu.state()

    def notes(self) -> tuple[str, ...]:
        return (*self._spans.notes(), *([self.plan.note] if self.plan.note else []))

    def _works(self) -> list[Callable[[], None]]:
        """What each graph holds: one call, or all of them in rotation as often as planned."""
        if self.plan.calls_a_graph == 1:
            return [lambda call=call: _run([call]) for call in self._calls]  # type: ignore[misc]
        rounds = self.plan.calls_a_graph // len(self._calls)
        return [lambda: _run(self._calls * rounds)]


def _run(calls: Sequence[Call]) -> None:
    for call in calls:
        call()
