"""Clock `wall`: elapsed time on the CPU, by the system's monotonic clock of highest resolution."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


class Wall:
    """Elapsed time of each call; everything else on the machine can lengthen it."""

    name = "wall"
    cache = "warm"

    def burst(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        now = time.perf_counter_ns
        samples = []
        for call in calls:
            start = now()
            call()
            samples.append(float(now() - start))
        return samples
