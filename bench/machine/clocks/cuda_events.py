"""Clock `cuda_events`: device time of a call between two events on the current stream, its launch hidden."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from attnlab.bench.machine.clocks.clock import Call, ClockKind, Timer
from attnlab.bench.machine.clocks.eager import Rotation, refuse_work_elsewhere
from attnlab.bench.machine.clocks.spans import Spans, rough_ns
from attnlab.bench.machine.gpu import Gpu
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import DeviceState


class CudaEvents:
    """Device time of each call, launched by the host as ever, less the null span.

    Before each its inputs are renewed, where they can be, and the L2 is emptied, where cold (by writes where
    `writing`), or the call was made once before, where hot.
    """

    name = "cuda_events"

    def __init__(self, gpu: Gpu, cache: str = "cold", writing: bool = False) -> None:
        self._gpu, self._cache, self._writing = gpu, cache, writing

    def start(self, calls: Sequence[Call], bytes_a_call: int, plan: Plan | None = None) -> Timer:
        refuse_work_elsewhere(self._gpu, calls, rough_ns(self._gpu, calls))
        return _EventsTimer(self.name, self._cache, self._gpu, calls, Spans(self._gpu, self._cache, self._writing))


CLOCK = ClockKind(CudaEvents.name, "cuda", 20, CudaEvents)


class _EventsTimer:
    calls_a_sample = 1
    plan: Plan | None = None

    def __init__(self, clock: str, cache: str, gpu: Gpu, calls: Sequence[Call], spans: Spans) -> None:
        self.clock, self.cache = clock, cache
        self._gpu, self._spans = gpu, spans
        self._rotation = Rotation(calls, cache)
        self.null_ns: float | None = spans.null_ns(*(functools.partial(_spin, gpu, count) for count in (1, 2)))

    def burst(self, count: int) -> list[float]:
        taken = self._rotation.take(count)
        found = self._spans.burst(piece for _, piece in taken)
        samples = [span - (self.null_ns or 0.0) for span in found]
        for (copy, _), sample in zip(taken, samples, strict=True):
            self._rotation.saw(copy, sample)
        return samples

    def state(self) -> DeviceState | None:
        return self._gpu.state()

    def notes(self) -> tuple[str, ...]:
        return (*self._spans.notes(), *self._rotation.notes())


def _spin(gpu: Gpu, count: int) -> None:
    for _ in range(count):
        gpu.spin(0)
