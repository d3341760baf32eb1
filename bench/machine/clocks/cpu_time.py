"""Clock `cpu_time`: processor time of the process, summed over its threads."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench.machine.clocks import now
from attnlab.bench.machine.clocks.clock import Call, ClockKind, Timer
from attnlab.bench.machine.clocks.host import HostTimer
from attnlab.bench.store.plan import Plan


class CpuTime:
    """Processor time of each call: two busy threads count twice, waiting and other processes do not count."""

    name = "cpu_time"

    def start(self, calls: Sequence[Call], bytes_a_call: int, plan: Plan | None = None) -> Timer:
        return HostTimer(self.name, now.process_time_ns, calls)


CLOCK = ClockKind(CpuTime.name, "cpu", 20, CpuTime)
