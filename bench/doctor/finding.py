"""A finding of the doctor, and what its probes look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attnlab.bench.clocks import Clock
from attnlab.bench.environment import Environment
from attnlab.bench.gpu import Gpu
from attnlab.bench.roofline import Ceilings


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. remedy is None where all is well."""

    name: str
    value: str
    remedy: str | None = None

    @property
    def good(self) -> bool:
        return self.remedy is None


@dataclass(frozen=True)
class Patient:
    """A machine and its device.

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


Probe = Callable[[Patient], Iterator[Finding]]
