"""Clock `cpu_time`: processor time of the process, summed over its threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


class CpuTime:
    """Processor time of each call: two busy threads count twice, waiting and other processes do not count."""

    name = "cpu_time"
    cache = "warm"

    def burst(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        now = time.process_time_ns
        samples = []
        for call in calls:
            start = now()
            call()
            samples.append(float(now() - start))
        return samples
