"""The host's own clocks, bound here when the harness is imported, so that no plugin can put others in their place."""

from __future__ import annotations

import time

perf_counter_ns = time.perf_counter_ns
process_time_ns = time.process_time_ns
thread_time_ns = time.thread_time_ns
time_s = time.time
sleep = time.sleep
