"""The clocks: one protocol, one file a method; figures of different clocks or cache states are never compared."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from attnlab.bench.clocks import now as now  # bound before any plugin is imported
from attnlab.bench.clocks.plan import Plan
from attnlab.bench.discovery import Folder
from attnlab.bench.errors import ClockUnsupported, MeasurementError, UsageError

if TYPE_CHECKING:
    import torch

    from attnlab.bench.gpu import Gpu
    from attnlab.bench.store.records import DeviceState

Call = Callable[[], object]
COLD, HOT = "cold", "hot"
CACHES = (COLD, HOT)  # what the L2 of a GPU may be asked to hold when a call starts


class Timer(Protocol):
    """Times some calls in rotation.

    clock and cache name the method, and are stored with every sample. cache says what the caches hold
    when a call starts: "warm" on a CPU, "cold" or "hot" for the L2 of a GPU. calls_a_sample is how many
    calls a sample is the mean of: 1, but for calls so short that one alone cannot be timed.
    """

    clock: str
    cache: str
    calls_a_sample: int

    @property
    def plan(self) -> Plan | None:
        """How the calls are laid out, to be given to other timers of the benchmark; None where nothing is planned."""
        ...

    @property
    def null_ns(self) -> float | None:
        """What a span reads where nothing is done, which was subtracted; None where a clock has no such part."""
        ...

    def burst(self, count: int) -> list[float]:
        """Take the next `count` samples of the rotation; the time of a call in each, in nanoseconds."""
        ...

    def state(self) -> DeviceState | None:
        """What the device says of itself now; None where it says nothing."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What has to be said of how the samples so far were taken, in plain words; () where nothing."""
        ...


class Clock(Protocol):
    """A method of timing."""

    name: str

    def start(self, calls: Sequence[Call], bytes_a_call: int, plan: Plan | None = None) -> Timer:
        """A timer of these calls, each of which touches `bytes_a_call` bytes of its own (0: not known).

        With a `plan` of another timer of this benchmark the calls are laid out alike, however long they take here.
        Raises ClockUnsupported where these calls cannot be timed by this clock.
        """
        ...


@dataclass(frozen=True)
class ClockKind:
    """A clock's file in one value.

    device: the kind that it times on. rank: the clock of least rank is the main one, and those after it stand beside
    it; no two of a device share one. make: `make()` of a CPU, `make(gpu, cache, writing)` of a GPU, as `cuda_clocks`
    gets them. package: what it needs; where that cannot be imported there is no such clock.
    """

    name: str
    device: Literal["cpu", "cuda"]
    rank: int
    make: Callable[..., Clock]
    package: str | None = None


CLOCKS: Folder[ClockKind] = Folder("clock", __name__, "CLOCK", lambda clock: (clock.device, clock.rank))
"""Closed before a plugin is imported: none brings a clock that its own code is timed by."""


@runtime_checkable
class ChoosesCopies(Protocol):
    """A clock that says how many sets of inputs its calls should rotate through."""

    def copies(self, call: Call, bytes_a_call: int) -> int: ...


@runtime_checkable
class KeepsOutputs(Protocol):
    """A call that keeps what it returned last; a clock that replays a call puts there what the replay wrote."""

    outputs: Any


@runtime_checkable
class Renews(Protocol):
    """A call that can put new values into what its inputs hold, in place.

    A clock has it renewed before each call that it makes, outside the span. One that replays captured calls has each
    call of the rotation renewed before a burst, and the device done with that before the first span.
    """

    def renew(self) -> None: ...


def renew(calls: Iterable[Call]) -> None:
    """Renew what can be renewed; the others are left as they are."""
    for call in calls:
        if isinstance(call, Renews):
            call.renew()


@dataclass(frozen=True)
class Started:
    """The timers of some calls, the main one first, and why clocks before or between them cannot be had."""

    timers: tuple[Timer, ...]
    notes: tuple[str, ...]


def start_all(
    clocks: Sequence[Clock], calls: Sequence[Call], bytes_a_call: int = 0, plan: Plan | None = None
) -> Started:
    """Start every clock that can time these calls, by `plan` the one that it is of.

    Raises MeasurementError where none can.
    """
    timers: list[Timer] = []
    notes: list[str] = []
    for clock in clocks:
        try:
            own = plan if plan is not None and plan.clock == clock.name else None
            timers.append(clock.start(calls, bytes_a_call, own))
        except ClockUnsupported as error:
            notes.append(f"no times by clock {clock.name}: {error}")
    if not timers:
        raise MeasurementError(f"no clock can time this: {'; '.join(notes) or 'none was given'}")
    return Started(tuple(timers), tuple(notes))


def clocks_for(device: torch.device, cache: str = COLD) -> tuple[Clock, ...]:
    """The clocks of a device: the preferred one first, then those to fall back on and to record beside it.

    `cache` is what the L2 of a GPU is to hold when a call starts; the caches of a CPU are warm always.
    """
    if device.type == "cuda":
        from attnlab.bench.gpu.cuda import CudaGpu

        return cuda_clocks(CudaGpu(device), cache)
    return _made("cpu")


def host_clocks(device: torch.device) -> tuple[Clock, ...]:
    """The clock of calls that end on the host, whatever device they use; with what a GPU says of itself."""
    from attnlab.bench.clocks.wall import Wall

    if device.type != "cuda":
        return (Wall(),)
    from attnlab.bench.gpu.cuda import CudaGpu

    return (Wall(CudaGpu(device).state),)


def cuda_clocks(gpu: Gpu, cache: str = COLD, writing: bool = False) -> tuple[Clock, ...]:
    """The clocks of a GPU, those that need a package only where it is installed. `writing`: flush the L2 by writes."""
    if cache not in CACHES:
        raise UsageError(f"got cache {cache!r}; expected {' or '.join(CACHES)}")
    return _made("cuda", gpu, cache, writing)


def _made(device: str, *given: object) -> tuple[Clock, ...]:
    """The clocks of a kind of device whose packages are here, by rank."""
    here = (k for k in CLOCKS if k.device == device and (k.package is None or importlib.util.find_spec(k.package)))
    return tuple(kind.make(*given) for kind in sorted(here, key=lambda kind: kind.rank))


def copies_wanted(clocks: Sequence[Clock], call: Call, bytes_a_call: int, plan: Plan | None = None) -> int:
    """How many sets of inputs the calls should rotate through for the preferred clock; at least 2."""
    if plan is not None:
        return plan.copies
    first = clocks[0]
    return first.copies(call, bytes_a_call) if isinstance(first, ChoosesCopies) else 2


def main_timer(device: torch.device, calls: Sequence[Call], bytes_a_call: int = 0, cache: str = COLD) -> Timer:
    """A timer by the preferred clock of a device that can time these calls."""
    return start_all(clocks_for(device, cache), calls, bytes_a_call).timers[0]
