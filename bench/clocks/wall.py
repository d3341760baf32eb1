"""Clock `wall`: elapsed time on the CPU, by the system's monotonic clock of highest resolution."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attnlab.bench.clocks import Call, Timer
from attnlab.bench.clocks.host import HostTimer, State


class Wall:
    """Elapsed time of each call; everything else on the machine can lengthen it."""

    name = "wall"

    def __init__(self, state: State = lambda: None) -> None:
        self._state = state

    def start(self, calls: Sequence[Call], bytes_a_call: int) -> Timer:
        return HostTimer(self.name, time.perf_counter_ns, calls, self._state)
