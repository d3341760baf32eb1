"""What a gate judges of a benchmark: quantities, each with a direction, a target and a floor of its own.

A file of this folder lists quantities in its `QUANTITIES`; adding one is an entry there, or one more file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.stats.decision import PairRatio
from attnlab.bench.store.records import CheckRecord, Measurement

LATENCY = "latency"
CONFIGURATION = "configuration"


@dataclass(frozen=True)
class Sample:
    """What one arm gave of one benchmark in one pair.

    measurement: with the launch of this pair alone. check: of the arm's process that held the whole check.
    usual: the configuration of base's first process.
    """

    measurement: Measurement
    check: CheckRecord | None = None
    usual: str | None = None


Value = Callable[[Sample], float | None]


@dataclass(frozen=True)
class Quantity:
    """One thing to judge.

    value: of one arm in one pair, None where it was not measured. target: the least worsening to stop, as a share;
    None: reported, not gated. floor: a change below it, in the quantity's own unit, is nothing. timer: a time of warm
    calls, whose floor is the timer's (`cuda_floor` on a GPU) and leaves ratios as they are. pairing: the log-ratio of
    head over base where it is more than that of their values.

    Of what is no such time, ratios are taken after `floor / target` was added to both sides. So a change is within the
    target where it is less than the floor and the target's share of base together, and a value of zero has a ratio.
    """

    name: str
    label: str
    unit: str
    value: Value
    target: float | None
    floor: float = 0.0
    direction: Literal["lower", "higher"] = "lower"
    timer: bool = False
    cuda_floor: float | None = None
    pairing: Callable[[Sample, Sample], float] | None = None

    def floor_on(self, device_kind: str) -> float:
        """The floor on that kind of device, in the quantity's unit."""
        return self.floor if device_kind != "cuda" or self.cuda_floor is None else self.cuda_floor

    def added(self, target: float) -> float:
        """What is added to both sides before their ratio is taken, in the quantity's unit."""
        return 0.0 if self.timer else self.floor / target

    def ratio(self, base: Sample, head: Sample, target: float) -> PairRatio | None:
        """What a pair says, positive where head is worse; None where a side lacks the quantity."""
        values = self.value(base), self.value(head)
        if values[0] is None or values[1] is None:
            return None
        before, after = (value + self.added(target) for value in values if value is not None)
        if not (before > 0 and after > 0):
            return None
        log_ratio = self.pairing(base, head) if self.pairing else math.log(after / before)
        return PairRatio(log_ratio if self.direction == "lower" else -log_ratio, before)


_TABLE: Folder[Quantity] = Folder("quantity", __name__, "QUANTITIES")


@cache
def quantities() -> dict[str, Quantity]:
    """All of them by name, latency first."""
    return {LATENCY: _TABLE.get(LATENCY), **{quantity.name: quantity for quantity in _TABLE}}
