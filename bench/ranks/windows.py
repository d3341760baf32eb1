"""The window of one call: all ranks come to a barrier, and each times itself from there to the end of its work."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from attnlab.bench.machine.clocks.now import perf_counter_ns
from attnlab.bench.units import NS_PER_MS

LEAD_NS = 10_000  # from the last rank's coming to the beginning, for all to have seen it
_let_others = os.sched_yield  # bound before any foreign code is there
HIDE_NS = 200_000  # for which a device is kept busy after the barrier, while the host enqueues the call


class Windows(Protocol):
    """How a rank times a call."""

    def timed(self, call: Callable[[], Any]) -> tuple[Any, float]:
        """What a call returned, and the time from the barrier to its end, in nanoseconds."""
        ...


class HostWindows:
    """By the host's clock, on CPUs; ranks of one machine begin at one moment of that clock.

    They meet in a barrier of torch.distributed, where they wait without a core. They leave it one after another, and
    the first would time the others' way out. So each then writes when it came into `came`, int64 [p] that all share,
    and all begin a little after the last did.
    """

    def __init__(self, came: Tensor, rank: int) -> None:
        self._came, self._rank, self._ended = came.numpy(), rank, 0

    def timed(self, call: Callable[[], Any]) -> tuple[Any, float]:
        dist.barrier()
        begun = self._met()
        returned = call()
        self._ended = perf_counter_ns()
        return returned, float(self._ended - begun)

    def _met(self) -> int:
        """When this rank begins. What stands in `came` since before its last call ended is of that call."""
        self._came[self._rank] = perf_counter_ns()
        while self._came.min() <= self._ended:
            _let_others()
        begins = int(self._came.max()) + LEAD_NS
        while (time_ns := perf_counter_ns()) < begins:
            pass
        return time_ns


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
