"""Clock `cuda_events`: device time of a call between two events on the current stream, its launch hidden."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from attnlab.bench.clocks import Call, Timer, renew
from attnlab.bench.clocks.plan import Plan
from attnlab.bench.clocks.spans import Spans
from attnlab.bench.gpu import Gpu
from attnlab.bench.store.records import DeviceState


class CudaEvents:
    """Device time of each call, launched by the host as ever; with a cold L2 it is emptied before each."""

    name = "cuda_events"

    def __init__(self, gpu: Gpu, cache: str = "cold") -> None:
        self._gpu, self._cache = gpu, cache

    def start(self, calls: Sequence[Call], bytes_a_call: int, plan: Plan | None = None) -> Timer:
        return _Timer(self.name, self._cache, self._gpu, calls)


class _Timer:
    calls_a_sample = 1
    plan: Plan | None = None

    def __init__(self, clock: str, cache: str, gpu: Gpu, calls: Sequence[Call]) -> None:
        self.clock, self.cache = clock, cache
        self._gpu = gpu
        self._calls = tuple(calls)
        self._rotation = itertools.cycle(calls)
        self._spans = Spans(gpu, flush=cache == "cold")

    def burst(self, count: int) -> list[float]:
        renew(self._calls)
        return self._spans.burst(itertools.islice(self._rotation, count))

    def state(self) -> DeviceState | None:
        return self._gpu.state()

    def notes(self) -> tuple[str, ...]:
        return self._spans.notes()
