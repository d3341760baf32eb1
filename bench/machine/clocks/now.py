"""The host's own clocks, bound here when the harness is imported, so that no plugin can put others in their place."""

from __future__ import annotations

import functools
import itertools
import time

perf_counter_ns = time.perf_counter_ns
process_time_ns = time.process_time_ns
thread_time_ns = time.thread_time_ns
time_s = time.time
sleep = time.sleep


@functools.lru_cache(maxsize=1)
def resolution_ns() -> float:
    """The least step between two readings of the host's clock, one right after the other."""
    readings = [perf_counter_ns() for _ in range(2000)]
    return float(min((b - a for a, b in itertools.pairwise(readings) if b > a), default=1))
