"""When sampling ends: a rule that knows samples and time spent, and nothing of clocks or calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from attnlab.bench import units
from attnlab.bench.stats.summary import summarise

STOPPED_AT_TARGET = "target"
STOPPED_BY_TIME = "time limit"
STOPPED_BY_COUNT = "limit of samples"
STOPPED_BY_ROUNDS = "number of rounds"
GROWTH = 1.25  # of the number of samples between two looks: each look is a chance to stop by luck


@dataclass(frozen=True)
class Effort:
    """How long one implementation may be timed on one case.

    target: half the width of the median's 95 % interval over the median, at which sampling stops. least_s,
    least_bursts and min_samples: what is sampled in any case, within the limits. turns: rounds of fresh processes in
    which those of a case that come near its fastest take turns; 0 for none. quick: 1 of a quick look (`a_quick_look`),
    which is checked on one set of drawn inputs and one of needles; no suite's file may ask for it.
    """

    target: float = 0.01
    sampling_limit_s: float = 2.0
    warmup_limit_s: float = 2.0
    min_samples: int = 30
    max_samples: int = 20_000
    least_s: float = 0.2
    least_bursts: int = 5
    turns: int = 6
    quick: int = 0


class StoppingRule(Protocol):
    """Asked after each burst why sampling ends; one rule serves one series."""

    def reason(self, samples: Sequence[float], bursts: int, spent_ns: float) -> str | None:
        """One of `STOPPED_…`, or None where sampling goes on."""
        ...


class KnownWellEnough:
    """Stops where the interval is as narrow as asked, at a limit otherwise.

    An interval takes 30 effective samples and halves that agree, see `stats.summary`. It is looked at when the samples
    have grown by a quarter, for whoever looks often enough stops at a moment that only seems good.
    """

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._next_look = effort.min_samples

    def reason(self, samples: Sequence[float], bursts: int, spent_ns: float) -> str | None:
        effort, taken = self._effort, len(samples)
        enough = bursts >= effort.least_bursts and spent_ns >= units.seconds_to_ns(effort.least_s)
        if taken and taken >= self._next_look and enough:
            self._next_look = int(GROWTH * taken)
            if summarise(samples).relative_half_width <= effort.target:
                return STOPPED_AT_TARGET
        if taken and spent_ns >= units.seconds_to_ns(effort.sampling_limit_s):
            return STOPPED_BY_TIME
        return STOPPED_BY_COUNT if taken >= effort.max_samples else None
