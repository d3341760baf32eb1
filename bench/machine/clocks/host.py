"""Timing by a clock of the host: read it, call, read it again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from attnlab.bench.machine.clocks.clock import Call, Renews
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import DeviceState

State = Callable[[], DeviceState | None]


class HostTimer:
    """Times calls one after another by `now`, which gives nanoseconds; the caches are as the last call left them.

    What can be renewed is renewed before each call, outside its span. `state` asks a GPU that the calls use what it
    has to say.
    """

    cache = "warm"
    calls_a_sample = 1
    plan: Plan | None = None
    null_ns: float | None = None

    def __init__(self, clock: str, now: Callable[[], int], calls: Sequence[Call], state: State = lambda: None) -> None:
        self.clock = clock
        self._now = now
        self._state = state
        self._rotation = itertools.cycle([(call, call.renew if isinstance(call, Renews) else None) for call in calls])

    def burst(self, count: int) -> list[float]:
        now = self._now
        samples = []
        for call, renew in list(itertools.islice(self._rotation, count)):
            if renew is not None:
                renew()
            start = now()
            call()
            samples.append(float(now() - start))
        return samples

    def state(self) -> DeviceState | None:
        return self._state()

    def notes(self) -> tuple[str, ...]:
        return ()
