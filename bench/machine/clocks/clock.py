"""What a clock is, and what the timers that it gives can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from attnlab.bench.store.plan import Plan
    from attnlab.bench.store.records import DeviceState, Series

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


@runtime_checkable
class ChoosesCopies(Protocol):
    """A clock that says how many sets of inputs its calls should rotate through."""

    def copies(self, call: Call, bytes_a_call: int) -> int: ...


@runtime_checkable
class SaysMore(Protocol):
    """A timer that has more to say of its last burst than its samples, such as what each of several processes took."""

    def series(self) -> tuple[Series, ...]: ...


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
