"""Calls in rotation that the host launches, each renewed before its span, and what their times say of each other."""

from __future__ import annotations

import functools
import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from attnlab.bench import units
from attnlab.bench.errors import ClockUnsupported
from attnlab.bench.machine.clocks.clock import COLD, Call, KeepsOutputs
from attnlab.bench.machine.clocks.clock import renew as renew_all
from attnlab.bench.machine.clocks.spans import HIDE_NS, TimedWork
from attnlab.bench.machine.gpu import Gpu

UNLIKE = 1.5  # medians of two sets of inputs, one over the other, beyond which they do not take the same
UNLIKE_NS = 1_000
KEPT = 100  # samples of each set that are compared
ENOUGH = 5
LEFT_NS = 20_000  # that a device may go on after the stream of its calls, beyond what it does after nothing
LOOKS = 3
CALLS_A_LOOK = 32  # in a row, so that what each leaves behind adds up


class Rotation:
    """Calls in turn, with what is enqueued before each one's span, and the samples of each set of inputs.

    A call's inputs are renewed before its own span, so that a result kept from another is of no use to it. For a hot
    L2 the call is made once before that, on the inputs as they were.
    """

    def __init__(self, calls: Sequence[Call], cache: str) -> None:
        pieces = [TimedWork(call, _before(call, cache)) for call in calls]
        self._rotation = itertools.cycle(enumerate(pieces))
        self._samples: list[list[float]] = [[] for _ in calls]

    def take(self, count: int) -> list[tuple[int, TimedWork]]:
        """The next pieces, each with the number of its set of inputs."""
        return list(itertools.islice(self._rotation, count))

    def saw(self, copy: int, sample: float) -> None:
        kept = self._samples[copy]
        kept.append(sample)
        del kept[:-KEPT]

    def notes(self) -> tuple[str, ...]:
        medians = [statistics.median(samples) for samples in self._samples if len(samples) >= ENOUGH]
        if not medians or max(medians) <= UNLIKE * min(medians) + UNLIKE_NS:
            return ()
        least, most = units.format_time(min(medians)), units.format_time(max(medians))
        return (
            f"its calls take {least} on one set of inputs and {most} on another: one may do another's work, "
            "or its time depends on values",
        )


def _before(call: Call, cache: str) -> Call:
    renew = functools.partial(renew_all, [call])
    return renew if cache == COLD else functools.partial(_warm, call, renew)


def _warm(call: Call, renew: Call) -> None:
    """Call, and renew; what is looked at then is still what the timed call before returned."""
    timed = _outputs(call)
    call()
    if isinstance(call, KeepsOutputs):
        call.outputs = timed
    renew()


def _outputs(call: Call) -> Any:
    return call.outputs if isinstance(call, KeepsOutputs) else None


def refuse_work_elsewhere(gpu: Gpu, calls: Sequence[Call], call_ns: float) -> None:
    """Raise ClockUnsupported where the device goes on after the stream that calls are launched on is done.

    Moments lie on that stream, so that what runs on others would not be within the span. Work that waits for the stream
    shows behind a kernel that keeps it busy until all of it is launched; other work where nothing is before it.
    """
    count = 1 if call_ns > units.NS_PER_MS else CALLS_A_LOOK
    some = [calls[n % len(calls)] for n in range(count)]
    for wait_ns in (0, HIDE_NS):
        left_ns = _left_ns(gpu, wait_ns, some) - _left_ns(gpu, wait_ns, ())
        if left_ns > LEFT_NS:
            raise ClockUnsupported(
                f"the device works on for {units.format_time(left_ns)} after the stream of {count} of its calls is "
                "done: what runs on other streams is in no span; let the current stream wait for it"
            )


def _left_ns(gpu: Gpu, wait_ns: float, calls: Sequence[Call]) -> float:
    """The least of some looks at what is left once the stream is done with the calls, launched behind such a wait."""

    def work() -> None:
        gpu.spin(wait_ns)
        for call in calls:
            call()

    return min(gpu.left_behind_ns(work) for _ in range(LOOKS))
