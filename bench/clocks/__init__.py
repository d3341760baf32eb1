"""The clocks: one protocol, one file a method; figures of different clocks or cache states are never compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from attnlab.bench.errors import ClockUnsupported, MeasurementError

if TYPE_CHECKING:
    import torch

    from attnlab.bench.store.records import DeviceState

Call = Callable[[], object]


class Timer(Protocol):
    """Times some calls in rotation.

    clock and cache name the method, and are stored with every sample. cache says what the caches hold
    when a call starts: "warm" on a CPU, "cold" or "hot" for the L2 of a GPU.
    """

    clock: str
    cache: str

    def burst(self, count: int) -> list[float]:
        """Run the next `count` calls of the rotation; the time of each, in nanoseconds."""
        ...

    def state(self) -> DeviceState | None:
        """What the device says of itself now; None where it says nothing."""
        ...


class Clock(Protocol):
    """A method of timing."""

    name: str

    def start(self, calls: Sequence[Call], bytes_a_call: int) -> Timer:
        """A timer of these calls, each of which touches `bytes_a_call` bytes of its own (0: not known).

        Raises ClockUnsupported where these calls cannot be timed by this clock.
        """
        ...


@dataclass(frozen=True)
class Started:
    """The timers of some calls, the main one first, and why clocks before or between them cannot be had."""

    timers: tuple[Timer, ...]
    notes: tuple[str, ...]


def start_all(clocks: Sequence[Clock], calls: Sequence[Call], bytes_a_call: int = 0) -> Started:
    """Start every clock that can time these calls; raises MeasurementError where none can."""
    timers: list[Timer] = []
    notes: list[str] = []
    for clock in clocks:
        try:
            timers.append(clock.start(calls, bytes_a_call))
        except ClockUnsupported as error:
            notes.append(f"no times by clock {clock.name}: {error}")
    if not timers:
        raise MeasurementError(f"no clock can time this: {'; '.join(notes) or 'none was given'}")
    return Started(tuple(timers), tuple(notes))


def clocks_for(device: torch.device, cache: str = "cold") -> tuple[Clock, ...]:
    """The clocks of a device: the preferred one first, then those to fall back on and to record beside it."""
    from attnlab.bench.clocks.cpu_time import CpuTime
    from attnlab.bench.clocks.cuda_events import CudaEvents
    from attnlab.bench.clocks.wall import Wall

    return (CudaEvents(device, cache),) if device.type == "cuda" else (Wall(), CpuTime())


def main_timer(device: torch.device, calls: Sequence[Call], bytes_a_call: int = 0, cache: str = "cold") -> Timer:
    """A timer by the preferred clock of a device that can time these calls."""
    return start_all(clocks_for(device, cache), calls, bytes_a_call).timers[0]
