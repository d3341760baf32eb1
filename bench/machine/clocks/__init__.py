"""The clocks: one protocol, one file a method; figures of different clocks or cache states are never compared."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.errors import ClockUnsupported, MeasurementError, UsageError
from attnlab.bench.machine.clocks import now as now
from attnlab.bench.machine.clocks.clock import CACHES, COLD, Call, ChoosesCopies, Clock, ClockKind, Timer
from attnlab.bench.store.plan import Plan

if TYPE_CHECKING:
    import torch

    from attnlab.bench.machine.gpu import Gpu


CLOCKS: Folder[ClockKind] = Folder("clock", __name__, "CLOCK", lambda clock: (clock.device, clock.rank))
"""Closed before a plugin is imported: none brings a clock that its own code is timed by."""


@dataclass(frozen=True)
class Timers:
    """The timers of some calls, the main one first, and why clocks before or between them cannot be had."""

    timers: tuple[Timer, ...]
    notes: tuple[str, ...]


def start_all(
    clocks: Sequence[Clock], calls: Sequence[Call], bytes_a_call: int = 0, plan: Plan | None = None
) -> Timers:
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
    return Timers(tuple(timers), tuple(notes))


def clocks_for(device: torch.device | Literal["cpu"], cache: str = COLD) -> tuple[Clock, ...]:
    """The clocks of a device: the preferred one first, then those to fall back on and to record beside it.

    `cache` is what the L2 of a GPU is to hold when a call starts; the caches of a CPU are warm always.
    """
    if device != "cpu" and device.type == "cuda":
        from attnlab.bench.machine.gpu.cuda import CudaGpu

        return cuda_clocks(CudaGpu(device), cache)
    return _made("cpu")


def host_clocks(device: torch.device) -> tuple[Clock, ...]:
    """The clock of calls that end on the host, whatever device they use; with what a GPU says of itself."""
    from attnlab.bench.machine.clocks.wall import Wall

    if device.type != "cuda":
        return (Wall(),)
    from attnlab.bench.machine.gpu.cuda import CudaGpu

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
