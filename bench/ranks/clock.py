"""Clocks of calls over ranks: a call takes as long as on the slowest of them; what each took is kept beside."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence

from attnlab.bench.contract.ranks import RankedOutputs
from attnlab.bench.contract.roofline import OF_SEVERAL_DEVICES
from attnlab.bench.errors import MeasurementError
from attnlab.bench.machine.clocks.clock import Call, Clock, KeepsOutputs, Timer, renew
from attnlab.bench.ranks.quantities import quantity_of
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import DeviceState, Series

WALL, EVENTS = "ranks_wall", OF_SEVERAL_DEVICES
ALONE_EVERY, ALONE_TIMES = 4, 3  # after each so many bursts, parts of a call are timed alone so many times


class RanksClock:
    """Each call by the clocks of its ranks, from a barrier on; new values are in its inputs before."""

    def __init__(self, device: str) -> None:
        self.name = EVENTS if device == "cuda" else WALL

    def start(self, calls: Sequence[Call], bytes_a_call: int, plan: Plan | None = None) -> Timer:
        return RanksTimer(self.name, calls)


class RanksTimer:
    """Samples are of the slowest rank; `series` has those of each rank, of the last burst."""

    cache = "warm"
    calls_a_sample = 1
    plan: Plan | None = None
    null_ns: float | None = None

    def __init__(self, clock: str, calls: Sequence[Call]) -> None:
        self.clock = clock
        self._rotation = itertools.cycle(calls)
        self._times: list[tuple[float, ...]] = []
        self._last: RankedOutputs | None = None
        self._told: list[tuple[Mapping[str, float], ...]] = []
        self._asked = 0

    def burst(self, count: int) -> list[float]:
        self._times, self._told = [], []
        for call in list(itertools.islice(self._rotation, count)):
            renew([call])
            call()
            self._last = _outputs_of(call)
            self._times.append(self._last.times_ns)
            self._told.append(self._last.told)
        return [max(times) for times in self._times]

    def series(self) -> tuple[Series, ...]:
        """A series a rank, what each told, and by turns what parts of a call take alone."""
        return (*self._of_ranks(), *self._of_parts())

    def _of_ranks(self) -> Iterator[Series]:
        for rank, values in enumerate(zip(*self._times, strict=True)):
            yield Series(quantity_of(rank), "ns", self.clock, "lower", values)
        for rank, told in enumerate(zip(*self._told, strict=True)):
            for name in told[0]:
                values = tuple(one[name] for one in told)
                yield Series(quantity_of(rank, name), "ns", self.clock, "lower", values)

    def _of_parts(self) -> Iterator[Series]:
        turn, self._asked = self._asked % ALONE_EVERY, self._asked + 1
        if turn or self._last is None or self._last.alone is None:
            return
        for name, values in self._last.alone(ALONE_TIMES).items():
            yield Series(name, "ns", self.clock, "lower", values)

    def state(self) -> DeviceState | None:
        return None

    def notes(self) -> tuple[str, ...]:
        """Told of ranks that have no core each: they take turns, which is no time of the operator."""
        ranks, cores = len(self._times[0]) if self._times else 0, len(os.sched_getaffinity(0))
        if self.clock == EVENTS or ranks <= cores:
            return ()
        return (
            f"{ranks} ranks share {cores} core{'s' if cores > 1 else ''}: they take turns, and times are of that too",
        )


def _outputs_of(call: Call) -> RankedOutputs:
    returned = call.outputs if isinstance(call, KeepsOutputs) else None
    if isinstance(returned, RankedOutputs):
        return returned
    kind = type(returned).__name__
    raise MeasurementError(f"got {kind} of a call over ranks; expected what OfRanks.run returns: derive from OfRanks")


def ranks_clocks(device: str) -> tuple[Clock, ...]:
    """The one clock of calls over ranks."""
    return (RanksClock(device),)
