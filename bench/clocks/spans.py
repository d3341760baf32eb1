"""Spans of device time between two moments, with the cost of launching hidden behind a waiting kernel."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from attnlab.bench.clocks import Call
from attnlab.bench.gpu import Gpu
from attnlab.bench.units import NS_PER_MS

HIDE_NS = 200_000  # longer than most launches take; a kernel that waits runs as long before each span
MAX_HIDE_NS = 16 * HIDE_NS  # a call whose launch takes longer waits for the device, and then nothing hides it
PROBES = 5


class Spans:
    """Times pieces of work on a GPU, each from a moment before to one after it.

    Before each the L2 is emptied where `flush`, and a kernel that waits keeps the device busy while the
    host enqueues the work, so that the moments bracket device work alone. Both lie outside the span.
    Where the device came to the span before the host had enqueued all of it, the next bursts wait
    longer; past a limit that is given up, and `notes` says so.
    """

    def __init__(self, gpu: Gpu, flush: bool) -> None:
        self._gpu, self._flush = gpu, flush
        self._hide_ns = HIDE_NS
        self._given_up = False

    def burst(self, works: Iterable[Callable[[], object]]) -> list[float]:
        """The device time of each piece of work, in nanoseconds."""
        gpu = self._gpu
        pairs = []
        late = 0
        gpu.synchronise()
        for work in works:
            self.lead_in()
            start, end = gpu.moment(), gpu.moment()
            start.record()
            work()
            end.record()
            late += start.reached()
            pairs.append((start, end))
        gpu.synchronise()
        self._learn(late)
        return [start.ns_until(end) for start, end in pairs]

    def lead_in(self) -> None:
        """What comes before a span: the L2 is emptied, and the device kept busy."""
        if self._flush:
            self._gpu.flush()
        self._gpu.spin(self._hide_ns)

    def notes(self) -> tuple[str, ...]:
        if not self._given_up:
            return ()
        return ("the launch of its calls could not be hidden: they wait for the device, so times hold the host's too",)

    def _learn(self, late: int) -> None:
        if not late or self._given_up:
            return
        self._given_up = self._hide_ns >= MAX_HIDE_NS
        self._hide_ns = HIDE_NS if self._given_up else 2 * self._hide_ns


def rough_ns(gpu: Gpu, calls: Sequence[Call]) -> float:
    """What one of the calls takes, to within some tens of per cent: one of them where that is long, else several."""
    spans = Spans(gpu, flush=False)
    (first,) = spans.burst(calls[:1])
    if first > NS_PER_MS:
        return first
    rotation = [calls[n % len(calls)] for n in range(PROBES)]
    spans.burst(rotation)
    return statistics.median(spans.burst(rotation))
