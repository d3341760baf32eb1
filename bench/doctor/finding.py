"""A finding of the doctor, and what its inspections look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attnlab.bench.machine.clocks.clock import Clock
from attnlab.bench.machine.gpu import Gpu
from attnlab.bench.store.machine import Ceilings, Environment


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. remedy is None where all is well.

    advice: the remedy would help, and times can be trusted without it.
    """

    name: str
    value: str
    remedy: str | None = None
    advice: bool = False

    @property
    def good(self) -> bool:
        return self.remedy is None

    @property
    def trusted(self) -> bool:
        """Whether times that are taken now can be trusted, as far as this goes."""
        return self.good or self.advice


@dataclass(frozen=True)
class Patient:
    """A machine and its device.

    ceilings: those measured now; kept: those that later runs are judged by, None where these are.
    work: a call that computes for a while. now_ns: the host's time. pairs: measures so many live
    pairs, each of two processes that do the same, and gives their log-ratios.
    """

    environment: Environment
    ceilings: Ceilings
    clocks: tuple[Clock, ...]
    work: Callable[[], object]
    gpu: Gpu | None = None
    now_ns: Callable[[], int] = time.perf_counter_ns
    pairs: Callable[[int], list[float]] | None = None
    kept: Ceilings | None = None


@dataclass(frozen=True)
class Inspection:
    """One thing to look at, named by its function. Findings are told by rising `rank`."""

    rank: int
    look: Callable[[Patient], Iterator[Finding]]

    @property
    def name(self) -> str:
        return self.look.__name__
