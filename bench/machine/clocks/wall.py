"""Clock `wall`: elapsed time on the CPU, by the system's monotonic clock of highest resolution."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench.machine.clocks import now
from attnlab.bench.machine.clocks.clock import Call, ClockKind, Timer
from attnlab.bench.machine.clocks.host import HostTimer, State
from attnlab.bench.store.plan import Plan


class Wall:
    """Elapsed time of each call; everything else on the machine can lengthen it."""

    name = "wall"

    def __init__(self, state: State = lambda: None) -> None:
        self._state = state

    def start(self, calls: Sequence[Call], bytes_a_call: int, plan: Plan | None = None) -> Timer:
        return HostTimer(self.name, now.perf_counter_ns, calls, self._state)


CLOCK = ClockKind(Wall.name, "cpu", 10, Wall)
