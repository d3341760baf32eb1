"""The clocks: one protocol, one file a method; figures of different clocks are never compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class Clock(Protocol):
    """Times calls.

    name is stored with every sample. cache says what the caches hold when a call starts: "warm" on a
    CPU, "cold" or "hot" for the L2 of a GPU.
    """

    name: str
    cache: str

    def burst(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Run the calls one after another; the time of each, in nanoseconds."""
        ...


def clocks_for(device: torch.device) -> tuple[Clock, ...]:
    """The clocks of a device, the main one first, those recorded beside it after."""
    from attnlab.bench.clocks.cpu_time import CpuTime
    from attnlab.bench.clocks.cuda_events import CudaEvents
    from attnlab.bench.clocks.wall import Wall

    return (CudaEvents(device),) if device.type == "cuda" else (Wall(), CpuTime())


def main_clock(device: torch.device) -> Clock:
    """The clock whose median is reported on that device."""
    return clocks_for(device)[0]
