"""Clock `cpu_time`: processor time of the process, summed over its threads."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attnlab.bench.clocks import Call, Timer
from attnlab.bench.clocks.host import HostTimer


class CpuTime:
    """Processor time of each call: two busy threads count twice, waiting and other processes do not count."""

    name = "cpu_time"

    def start(self, calls: Sequence[Call], bytes_a_call: int) -> Timer:
        return HostTimer(self.name, time.process_time_ns, calls)
