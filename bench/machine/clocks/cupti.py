"""Clock `cupti`: from the start of a call's first kernel to the end of its last, as CUPTI traces them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from attnlab.bench.errors import ClockUnsupported, MeasurementError
from attnlab.bench.machine.clocks.clock import Call, ClockKind, Timer
from attnlab.bench.machine.clocks.eager import Rotation
from attnlab.bench.machine.clocks.spans import MAX_SPANS, Spans
from attnlab.bench.machine.gpu import Gpu, Trace
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import DeviceState

Window = tuple[int, int]  # of host time in ns, in which a call made its launches; the end is no longer of it


class Cupti:
    """Device time of each call, without the time that events themselves take.

    Kernels are matched to the call that launched them through the correlation ids of CUDA's runtime and
    driver calls, whatever stream they run on. What comes before a call is as for `cuda_events`. A call of which
    CUPTI has fewer activities than of others, or none, or one without its times, is left out and counted.
    """

    name = "cupti"

    def __init__(self, gpu: Gpu, cache: str = "cold", writing: bool = False) -> None:
        self._gpu, self._cache, self._writing = gpu, cache, writing

    def start(self, calls: Sequence[Call], bytes_a_call: int, plan: Plan | None = None) -> Timer:
        timer = _CuptiTimer(self.name, self._cache, self._gpu, calls, Spans(self._gpu, self._cache, self._writing))
        try:
            timer.burst(1)
        except MeasurementError as error:
            raise ClockUnsupported(str(error)) from error
        return timer


CLOCK = ClockKind(Cupti.name, "cuda", 30, Cupti, package="cupti")


class _CuptiTimer:
    calls_a_sample = 1
    plan: Plan | None = None
    null_ns: float | None = None

    def __init__(self, clock: str, cache: str, gpu: Gpu, calls: Sequence[Call], spans: Spans) -> None:
        self.clock, self.cache = clock, cache
        self._gpu = gpu
        self._rotation = Rotation(calls, cache)
        self._spans = spans
        self._unseen = 0

    def burst(self, count: int) -> list[float]:
        """The calls' spans; fewer than asked for where CUPTI dropped some. Raises MeasurementError on none at all."""
        samples: list[float] = []
        for start in range(0, count, MAX_SPANS):
            samples += self._some(min(MAX_SPANS, count - start))
        if count and not samples:
            raise MeasurementError(f"CUPTI saw no activity of {count} calls; end other profilers of this process")
        return samples

    def _some(self, count: int) -> list[float]:
        windows: list[Window] = []
        taken = self._rotation.take(count)
        self._spans.unpin()
        self._gpu.synchronise()
        with self._gpu.trace() as tracer:
            for _, piece in taken:
                self._spans.lead_in(piece.before)
                start = tracer.now_ns()
                piece.work()
                windows.append((start, tracer.now_ns()))
            self._gpu.synchronise()
            found = spans(windows, tracer.collect())
        self._spans.unpin()
        samples = [(copy, span) for (copy, _), span in zip(taken, found, strict=True) if span is not None]
        for copy, span in samples:
            self._rotation.saw(copy, span)
        self._unseen += count - len(samples)
        return [span for _, span in samples]

    def state(self) -> DeviceState | None:
        return self._gpu.state()

    def notes(self) -> tuple[str, ...]:
        unseen = f"CUPTI saw nothing or too little of {self._unseen} calls; their times are left out"
        return (*self._spans.notes(), *self._rotation.notes(), *([unseen] if self._unseen else []))


def spans(windows: Sequence[Window], trace: Trace) -> list[float | None]:
    """From first start to last end of what was launched within each window.

    None where that is nothing, or fewer activities than most windows have, or one without times (CUPTI gives 0 then).
    """
    by_launch: dict[int, list[tuple[int, int]]] = {}
    for activity in trace.activities:
        by_launch.setdefault(activity.correlation, []).append((activity.start_ns, activity.end_ns))
    ran = [
        [
            times
            for launch in trace.launched
            if first <= launch.at_ns < last
            for times in by_launch.get(launch.correlation, ())
        ]
        for first, last in windows
    ]
    usual = min(statistics.multimode([len(times) for times in ran if times]), default=0)
    return [_span(times) if len(times) >= usual else None for times in ran]


def _span(times: Sequence[tuple[int, int]]) -> float | None:
    if not times or any(end <= 0 for _, end in times):
        return None
    return float(max(end for _, end in times) - min(start for start, _ in times))
