"""What one arm gave on one benchmark, pair by pair."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from dataclasses import dataclass, field, replace

from attnlab.bench.gate.quantities.calls import times_ns
from attnlab.bench.measuring.modes import modes_told
from attnlab.bench.store.records import Launch, Measurement, Outcome


@dataclass
class ArmResults:
    """What one arm gave on one benchmark: the record of the process that held the whole check, and a launch a pair."""

    measurement: Measurement | None = None
    checked: bool = False
    launches: list[Launch] = field(default_factory=list)
    flags: Counter[str] = field(default_factory=Counter)
    worded: dict[str, str] = field(default_factory=dict)
    configurations: Counter[str] = field(default_factory=Counter)

    def add(self, measurement: Measurement, checked: bool) -> None:
        """The first record, or that of the whole check, is kept unless a later one failed."""
        failed = measurement.outcome is not Outcome.PASSED
        if self.measurement is None or failed or (checked and not self.checked):
            self.measurement = measurement
        self.checked |= checked
        self.launches += measurement.launches
        for flag in measurement.flags:  # one that names figures is told once, with the first process's
            self.flags[_without_figures(flag)] += 1
            self.worded.setdefault(_without_figures(flag), flag)
        self.configurations.update([measurement.configuration or "none"])

    @property
    def samples(self) -> list[float]:
        """Of all launches, in nanoseconds."""
        return [v for launch in self.launches for v in _samples(launch)]

    @property
    def median_ns(self) -> float | None:
        """The median of the launches' medians; None where none was timed."""
        return statistics.median(map(_median, self.launches)) if self.launches else None

    @property
    def modes(self) -> str | None:
        """Where times fall into two modes, within processes or from one to the next; None where they do not."""
        return modes_told(self.samples) or modes_told([*map(_median, self.launches)], " of its processes")

    def stored(self) -> Measurement | None:
        """As a measurement with a launch for each pair; None where nothing is known of it."""
        m = self.measurement
        if m is None or m.outcome is not Outcome.PASSED or m.timing is None:
            return m and replace(m, launches=tuple(self.launches))  # what was timed before it failed is kept
        taken = replace(m.timing, samples=len(self.samples), stopped=f"after {len(self.launches)} live pairs")
        known = replace(m, launches=tuple(self.launches), flags=tuple(self.worded.values()), timing=taken)
        median_ns = None if m.paced else self.median_ns
        return replace(known, median_ns=median_ns, ci_low_ns=None, ci_high_ns=None)

    def remarks(self, arm: str) -> list[str]:
        """What was flagged, with the number of processes where it was not all of them."""
        count = len(self.launches)
        return [
            f"{arm}: {self.worded[flag]}" + (f" (in {times} of {count} processes)" if times < count else "")
            for flag, times in self.flags.items()
        ]


def _without_figures(flag: str) -> str:
    return re.sub(r"[\d.,]+", "#", flag)


def _samples(launch: Launch) -> list[float]:
    return [value for burst in launch.bursts for value in times_ns(burst)]


def _median(launch: Launch) -> float:
    return statistics.median(_samples(launch))
