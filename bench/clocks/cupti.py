"""Clock `cupti`: from the start of a call's first kernel to the end of its last, as CUPTI traces them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from attnlab.bench.clocks import Call, Timer, renew
from attnlab.bench.clocks.plan import Plan
from attnlab.bench.clocks.spans import Spans
from attnlab.bench.errors import ClockUnsupported, MeasurementError
from attnlab.bench.gpu import Gpu, Trace
from attnlab.bench.store.records import DeviceState

Window = tuple[int, int]  # of host time in ns, in which a call made its launches; the end is no longer of it


class Cupti:
    """Device time of each call, without the time that events themselves take.

    Kernels are matched to the call that launched them through the correlation ids of CUDA's runtime and
    driver calls. Before each call the L2 is emptied, where cold, and a kernel waits to hide the launch.
    """

    name = "cupti"

    def __init__(self, gpu: Gpu, cache: str = "cold") -> None:
        self._gpu, self._cache = gpu, cache

    def start(self, calls: Sequence[Call], bytes_a_call: int, plan: Plan | None = None) -> Timer:
        timer = _Timer(self.name, self._cache, self._gpu, calls)
        try:
            timer.burst(1)
        except MeasurementError as error:
            raise ClockUnsupported(str(error)) from error
        return timer


class _Timer:
    calls_a_sample = 1
    plan: Plan | None = None

    def __init__(self, clock: str, cache: str, gpu: Gpu, calls: Sequence[Call]) -> None:
        self.clock, self.cache = clock, cache
        self._gpu = gpu
        self._calls = tuple(calls)
        self._rotation = itertools.cycle(calls)
        self._lead_in = Spans(gpu, flush=cache == "cold").lead_in
        self._unseen = 0

    def burst(self, count: int) -> list[float]:
        """The calls' spans; fewer than asked for where CUPTI dropped some. Raises MeasurementError on none at all."""
        windows: list[Window] = []
        renew(self._calls)
        self._gpu.synchronise()
        with self._gpu.trace() as tracer:
            for call in itertools.islice(self._rotation, count):
                self._lead_in()
                start = tracer.now_ns()
                call()
                windows.append((start, tracer.now_ns()))
            self._gpu.synchronise()
            found = spans(windows, tracer.collect())
        samples = [span for span in found if span is not None]
        self._unseen += len(found) - len(samples)
        if count and not samples:
            raise MeasurementError(f"CUPTI saw no activity of {count} calls; end other profilers of this process")
        return samples

    def state(self) -> DeviceState | None:
        return self._gpu.state()

    def notes(self) -> tuple[str, ...]:
        return (f"CUPTI saw nothing of {self._unseen} calls; their times are left out",) if self._unseen else ()


def spans(windows: Sequence[Window], trace: Trace) -> list[float | None]:
    """From first start to last end of what was launched within each window; None where nothing was."""
    by_launch: dict[int, list[tuple[int, int]]] = {}
    for activity in trace.activities:
        by_launch.setdefault(activity.correlation, []).append((activity.start_ns, activity.end_ns))
    found: list[float | None] = []
    for first, last in windows:
        ran = [
            times
            for launch in trace.launched
            if first <= launch.at_ns < last
            for times in by_launch.get(launch.correlation, ())
        ]
        found.append(float(max(end for _, end in ran) - min(start for start, _ in ran)) if ran else None)
    return found
