"""Clocks of calls over ranks: a call takes as long as on the slowest of them; what each took is kept beside."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence

from attnlab.bench.contract.ranks import RankedOutputs
from attnlab.bench.errors import MeasurementError
from attnlab.bench.machine.clocks.clock import Call, Clock, KeepsOutputs, Timer, renew
from attnlab.bench.ranks.quantities import quantity_of
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import DeviceState, Series

WALL, EVENTS = "ranks_wall", "ranks_cuda_events"


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

    def burst(self, count: int) -> list[float]:
        self._times = []
        for call in list(itertools.islice(self._rotation, count)):
            renew([call])
            call()
            self._times.append(_times_of(call))
        return [max(times) for times in self._times]

    def series(self) -> tuple[Series, ...]:
        """A series a rank."""
        by_rank = zip(*self._times, strict=True)
        return tuple(
            Series(quantity_of(rank), "ns", self.clock, "lower", values) for rank, values in enumerate(by_rank)
        )

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


def _times_of(call: Call) -> tuple[float, ...]:
    returned = call.outputs if isinstance(call, KeepsOutputs) else None
    if isinstance(returned, RankedOutputs):
        return returned.times_ns
    kind = type(returned).__name__
    raise MeasurementError(f"got {kind} of a call over ranks; expected what OfRanks.run returns: derive from OfRanks")


def ranks_clocks(device: str) -> tuple[Clock, ...]:
    """The one clock of calls over ranks."""
    return (RanksClock(device),)
