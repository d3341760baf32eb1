"""What live pairs gave, benchmark by benchmark: kept in memory and, line by line, on disk."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from attnlab.bench.errors import StoreError
from attnlab.bench.gate.messages import Method, Offer
from attnlab.bench.gate.pairs import Side, Taken
from attnlab.bench.gate.records import GateRow, Ratio, Standing
from attnlab.bench.stats.decision import Decided, PairRatio
from attnlab.bench.stats.verdict import Judged, Verdict
from attnlab.bench.store.codec import encode
from attnlab.bench.store.records import Launch, Measurement, Outcome, TimingRecord
from attnlab.bench.telemetry import state_notes

PAIRS_FILE = "pairs.jsonl"
TRIES = 2  # processes of one arm that may end on a benchmark before it counts as failing there


@dataclass
class Gathered:
    """What one arm gave on one benchmark: its first process's record, and a launch a pair."""

    measurement: Measurement | None = None
    launches: list[Launch] = field(default_factory=list)
    timing: TimingRecord | None = None

    def add(self, side: Side) -> None:
        """The record of the first process, which held the whole check, is kept unless a later one failed."""
        if self.measurement is None or side.measurement.outcome is not Outcome.PASSED:
            self.measurement = side.measurement
        if side.launch is not None:
            self.launches.append(side.launch)
            self.timing = self.timing or side.timing

    @property
    def samples(self) -> list[float]:
        """Of all launches, in nanoseconds."""
        return [v for launch in self.launches for v in _samples(launch)]

    @property
    def median_ns(self) -> float | None:
        """The median of the launches' medians; None where none was timed."""
        return statistics.median(map(_median, self.launches)) if self.launches else None

    def stored(self) -> Measurement | None:
        """As a measurement with a launch for each pair; None where nothing is known of it."""
        m, timing = self.measurement, self.timing
        if m is None or timing is None or m.outcome is not Outcome.PASSED:
            return m
        taken = replace(timing, samples=len(self.samples), stopped=f"after {len(self.launches)} live pairs")
        return replace(m, launches=tuple(self.launches), median_ns=self.median_ns, timing=taken)

    def flags(self, arm: str) -> list[str]:
        """What was flagged in the record, and what the GPU's states say of the bursts."""
        states = [burst.state for launch in self.launches for burst in launch.bursts if burst.state is not None]
        own = self.measurement.flags if self.measurement else ()
        return [f"{arm}: {flag}" for flag in (*own, *state_notes(states))]


@dataclass
class Collected:
    """One benchmark: what both arms gave, its pairs, and why it is measured no further."""

    offer: Offer
    target: float
    base: Gathered = field(default_factory=Gathered)
    head: Gathered = field(default_factory=Gathered)
    ratios: list[PairRatio] = field(default_factory=list)
    method: Method | None = None
    standing: Standing = Standing.COMPARED
    reason: str | None = None
    ends: list[str] = field(default_factory=list)

    def add(self, taken: Taken) -> PairRatio | None:
        """Take one pair in; None where it gave no ratio."""
        self.base.add(taken.base)
        self.head.add(taken.head)
        if taken.ratio is None:
            self._refuse(taken)
            return None
        if self.method is not None and self.method != taken.method:
            self.standing = Standing.INCOMPARABLE
            self.reason = f"timed by {self.method} at first, then by {taken.method}"
            return None
        self.method = taken.method
        self.ratios.append(taken.ratio)
        return taken.ratio

    def _refuse(self, taken: Taken) -> None:
        """Say what a pair without a ratio means; a process that ended may be chance, and is tried once more."""
        self.reason = taken.why
        if taken.ended is not None:
            self.ends.append(taken.ended)
            if self.ends.count(taken.ended) < TRIES:
                return
        base, head = taken.base.measurement, taken.head.measurement
        if taken.ended == "head" or head.outcome not in (Outcome.PASSED, Outcome.UNAVAILABLE):
            self.standing = Standing.WRONG
        elif taken.ended == "base":
            self.standing = Standing.NEW
        elif not _timed(head):
            self.standing = Standing.MISSING if _timed(base) else Standing.UNAVAILABLE
        elif not _timed(base):
            self.standing = Standing.NEW
        else:
            self.standing = Standing.INCOMPARABLE

    @property
    def open(self) -> bool:
        """Whether more pairs may be measured."""
        return self.standing is Standing.COMPARED

    def row(self, decided: Decided | None) -> GateRow:
        """The row of this benchmark; measured too little where it was never decided."""
        standing, reason = self.standing, self.reason
        if standing is Standing.COMPARED and decided is None:
            few = f"{len(self.ratios)} pairs, too few for any verdict"
            standing, reason = Standing.TOO_LITTLE, f"{few}; {reason}" if reason else few
        told = decided if standing is Standing.COMPARED else None
        again = [f"tried again: {reason}"] if told and reason else []
        return GateRow(
            operator=self.offer.operator,
            implementation=self.offer.implementation,
            case_id=self.offer.case_id,
            standing=standing,
            target=self.target,
            reason=None if told else reason,
            verdict=told.verdict if told else Verdict.INCOMPARABLE if standing is Standing.INCOMPARABLE else None,
            first=as_ratio(told.first) if told else None,
            confirmation=as_ratio(told.confirmation) if told and told.confirmation else None,
            base_ns=self.base.median_ns,
            head_ns=self.head.median_ns,
            clock=self.method.clock if self.method else None,
            cache=self.method.cache if self.method else None,
            base_configuration=self.base.measurement.configuration if self.base.measurement else None,
            head_configuration=self.head.measurement.configuration if self.head.measurement else None,
            flags=tuple(dict.fromkeys((*self.base.flags("base"), *self.head.flags("head"), *again))),
        )


class PairsFile:
    """Each pair of each benchmark as a line, on disk before the next is measured, and never taken away again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / PAIRS_FILE
        self._file: IO[str] = self.path.open("a", encoding="utf-8")

    def append(self, number: int, offer: Offer, taken: Taken) -> None:
        line = {"pair": number, "benchmark": offer.key, "taken": encode(taken)}
        try:
            self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
            self._file.flush()
        except OSError as error:
            raise StoreError(
                f"cannot write to {self.path}: {error.strerror}; the pairs before are kept: make room and gate again"
            ) from error

    def close(self) -> None:
        self._file.close()


def _timed(measurement: Measurement) -> bool:
    return measurement.outcome is Outcome.PASSED and measurement.untimed is None


def as_ratio(judged: Judged) -> Ratio:
    low = judged.low if judged.low > 0 else None
    high = judged.high if judged.high != float("inf") else None
    return Ratio(judged.ratio, low, high, judged.pairs)


def _samples(launch: Launch) -> list[float]:
    return [value for burst in launch.bursts for value in burst.series[0].values]


def _median(launch: Launch) -> float:
    return statistics.median(_samples(launch))
