"""What clocks, telemetry and the doctor ask of a GPU: one protocol, so that a simulated one can stand in for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from attnlab.bench.store.records import DeviceState


class Moment(Protocol):
    """A point in the stream's work whose time the device writes down."""

    def record(self) -> None:
        """Put it behind all that was enqueued so far."""
        ...

    def reached(self) -> bool:
        """Whether the device has come past it."""
        ...

    def ns_until(self, later: Moment) -> float:
        """Device time between the two, once both were reached."""
        ...


class Graph(Protocol):
    """Work that was captured once and is launched as a whole."""

    def replay(self) -> None: ...


@dataclass(frozen=True)
class LaunchCall:
    """A call of CUDA's runtime or driver, by the host's clock of the trace."""

    at_ns: int
    correlation: int


@dataclass(frozen=True)
class Activity:
    """Something that ran on the device: a kernel, a copy or a fill; correlation names the call that launched it."""

    start_ns: int
    end_ns: int
    correlation: int


@dataclass(frozen=True)
class Trace:
    """What was seen since the last look."""

    launched: tuple[LaunchCall, ...]
    activities: tuple[Activity, ...]


class Tracer(Protocol):
    """Watches launches and device activities while it is entered."""

    def now_ns(self) -> int:
        """The host's time, by the clock that launches are dated with."""
        ...

    def collect(self) -> Trace:
        """All that was seen since the last call; the device must be done."""
        ...


class Gpu(Protocol):
    """One GPU; work goes to its current stream."""

    name: str
    l2_bytes: int

    def synchronise(self) -> None:
        """Wait until the device is done."""
        ...

    def moment(self) -> Moment: ...

    def spin(self, ns: float) -> None:
        """Enqueue a kernel that keeps the device busy for at least that long, and touches no memory."""
        ...

    def flush(self, writing: bool = False) -> None:
        """Enqueue reads of twice the L2's size, so that nothing else stays in it.

        By writes instead where `writing`: the L2 is then full of data that what comes next has to write back.
        """
        ...

    def unpin(self) -> int | None:
        """Give what is set aside of the L2 for data that stays back to all data.

        The bytes that were set aside; None where that cannot be asked.
        """
        ...

    def left_behind_ns(self, work: Callable[[], object]) -> float:
        """How long the device goes on after the current stream is done with `work`, by the host's clock."""
        ...

    def capture(self, work: Callable[[], None], share: Graph | None = None) -> Graph:
        """Capture `work` in a graph, in the memory of `share` where given; raises ClockUnsupported where it fails.

        `work` is also run as it is, to have all set-up behind it.
        """
        ...

    def trace(self) -> AbstractContextManager[Tracer]:
        """Trace launches and activities; raises ClockUnsupported where there is no tracing."""
        ...

    def state(self) -> DeviceState | None:
        """What the device says of itself now; None where nothing can be asked."""
        ...

    def silence(self) -> str | None:
        """Why `state` has nothing to say; None where it has."""
        ...

    def highest_sm_clock_mhz(self) -> float | None: ...

    def other_processes(self) -> tuple[int, ...] | None:
        """Ids of other processes that compute on it; None where that is not known."""
        ...

    def reader(self, size_bytes: int) -> Callable[[], object]:
        """A call that reads that many bytes, the same ones each time."""
        ...
