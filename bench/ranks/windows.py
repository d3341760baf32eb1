"""The window of one call: all ranks come to a barrier, and each times itself from there to the end of its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.distributed as dist

from attnlab.bench.machine.clocks import now
from attnlab.bench.units import NS_PER_MS

HIDE_NS = 200_000  # for which a device is kept busy after the barrier, while the host enqueues the call


class Windows(Protocol):
    """How a rank times a call."""

    def timed(self, call: Callable[[], Any]) -> tuple[Any, float]:
        """What a call returned, and the time from the barrier to its end, in nanoseconds."""
        ...


class HostWindows:
    """By the host's clock, on CPUs."""

    def timed(self, call: Callable[[], Any]) -> tuple[Any, float]:
        dist.barrier()
        begun = now.perf_counter_ns()
        returned = call()
        return returned, float(now.perf_counter_ns() - begun)


class DeviceWindows:
    """By events on the current stream of this rank's GPU; the barrier is a sum of one number on that stream.

    After it each device is busy for the same while, so that what the host takes to enqueue the call is hidden.
    """

    def __init__(self) -> None:
        from attnlab.bench.machine.gpu.cuda import CudaGpu

        device = torch.device("cuda", torch.cuda.current_device())
        self._gpu = CudaGpu(device)
        self._one = torch.ones(1, device=device)

    def timed(self, call: Callable[[], Any]) -> tuple[Any, float]:
        events: Any = torch.cuda.Event
        begin, end = events(enable_timing=True), events(enable_timing=True)
        torch.cuda.synchronize()
        dist.all_reduce(self._one.fill_(1.0))
        self._gpu.spin(HIDE_NS)
        begin.record()
        returned = call()
        end.record()
        torch.cuda.synchronize()
        return returned, float(begin.elapsed_time(end)) * NS_PER_MS
