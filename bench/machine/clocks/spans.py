"""Spans of device time between two moments, with the cost of launching hidden behind a waiting kernel."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.machine.clocks.clock import COLD, Call
from attnlab.bench.machine.gpu import Gpu, Moment
from attnlab.bench.units import NS_PER_MS

HIDE_NS = 200_000  # longer than most launches take; a kernel that waits runs as long before each span
MAX_HIDE_NS = 16 * HIDE_NS  # a call whose launch takes longer waits for the device, and then nothing hides it
MAX_SPANS = 256  # enqueued before the device is waited for, and so twice as many moments at a time
PROBES = 5
NULL_SPANS = 25


def nothing() -> None:
    """What is done before work that needs nothing done."""


@dataclass(frozen=True)
class TimedWork:
    """Work to time, and what is enqueued right before it, outside its span."""

    work: Call
    before: Call = nothing


class Spans:
    """Times pieces of work on a GPU, each from a moment before to one after it.

    Before each, what its piece asks for is enqueued, the L2 is emptied where `cold`, and a kernel that waits keeps
    the device busy while the host enqueues the work, so that the moments bracket device work alone. All of that lies
    outside the span. Where the device came to the span before the host had enqueued all of it, the next bursts wait
    longer; past a limit that is given up, and `notes` says so. `writing`: empty the L2 by writes, to compare with.
    """

    def __init__(self, gpu: Gpu, cache: str, writing: bool = False) -> None:
        self._gpu, self._flush, self._writing = gpu, cache == COLD, writing
        self._hide_ns = HIDE_NS
        self._late = 0  # of the last pieces, those that the device came to before the host had enqueued them
        self._given_up = False
        self._moments: list[tuple[Moment, Moment]] = []
        self._set_aside = 0
        gpu.unpin()  # what was set aside before has no effect on these spans

    def burst(self, pieces: Iterable[TimedWork]) -> list[float]:
        """The device time of each piece of work, in nanoseconds, the null span included."""
        rest = iter(pieces)
        found: list[float] = []
        while some := list(itertools.islice(rest, MAX_SPANS)):
            found += self._some(some)
        return found

    def _some(self, pieces: Sequence[TimedWork]) -> list[float]:
        gpu, late = self._gpu, 0
        self._moments += [(gpu.moment(), gpu.moment()) for _ in range(len(pieces) - len(self._moments))]
        pairs = self._moments[: len(pieces)]
        self.unpin()
        gpu.synchronise()
        for piece, (start, end) in zip(pieces, pairs, strict=True):
            self.lead_in(piece.before)
            start.record()
            piece.work()
            end.record()
            late += start.reached()
        gpu.synchronise()
        self._late = late
        self._learn()
        self.unpin()
        return [start.ns_until(end) for start, end in pairs]

    def lead_in(self, before: Call = nothing) -> None:
        """What comes before a span: what it needs, an empty L2 where cold, and a device that is kept busy."""
        before()
        if self._flush:
            self._gpu.flush(self._writing)
        self._gpu.spin(self._hide_ns)

    def unpin(self) -> None:
        """Give back what calls set aside of the L2 for data that stays, which no flush empties."""
        self._set_aside = max(self._set_aside, self._gpu.unpin() or 0)

    def null_ns(self, one: Call, two: Call) -> float:
        """What a span reads beyond its work: twice the span of `one`, an empty kernel, less that of `two` of them."""
        self.burst([TimedWork(two)])
        while self._late and not self._given_up:
            self.burst([TimedWork(two)])
        found = self.burst([TimedWork(one), TimedWork(two)] * NULL_SPANS)
        return max(0.0, 2 * statistics.median(found[::2]) - statistics.median(found[1::2]))

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self._given_up:
            notes.append(
                "the launch of its calls could not be hidden: they wait for the device, so times hold the host's too"
            )
        if self._set_aside and self._flush:
            notes.append(
                f"its calls set {units.format_bytes(self._set_aside)} of the L2 aside for data that stays: that was "
                "given back before and after each burst, but within one the L2 may not have been cold"
            )
        return tuple(notes)

    def _learn(self) -> None:
        if not self._late or self._given_up:
            return
        self._given_up = self._hide_ns >= MAX_HIDE_NS
        self._hide_ns = HIDE_NS if self._given_up else 2 * self._hide_ns


def rough_ns(gpu: Gpu, calls: Sequence[Call]) -> float:
    """What one of the calls takes, to within some tens of per cent: one of them where that is long, else several.

    Several lie in one span, so that what a span has beyond them is no large part of a short call.
    """
    spans = Spans(gpu, "hot")
    (first,) = spans.burst([TimedWork(calls[0])])
    if first > NS_PER_MS:
        return first
    rotation = [calls[n % len(calls)] for n in range(PROBES)]
    run = TimedWork(lambda: [call() for call in rotation])
    spans.burst([run])
    (several,) = spans.burst([run])
    return several / PROBES
