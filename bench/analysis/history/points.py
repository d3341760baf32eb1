"""One benchmark in one run: its median, and the conditions that have to be alike for two of them to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from attnlab.bench.errors import StoreError
from attnlab.bench.store.records import Measurement, RunRecord, TimingRecord
from attnlab.bench.store.run_folder import StoredRun


@dataclass(frozen=True)
class Conditions:
    """The machine and the method of a time: times of different conditions are never joined by a line.

    usable_cores: how many the process could run on; which they were is told as a difference. files: what those hold
    that the case names, such as `arrivals 1a2b…`; none in runs that did not record it. imported: the tool that
    measured, where that was another. quick: whether it is of quick looks (`RunRecord.quick`).
    """

    device_kind: str
    device: str
    multiprocessors: int | None
    processor: str
    cores: int | None
    usable_cores: int | None
    threads: int | None
    clock: str
    cache: str
    definitions_version: int
    files: tuple[str, ...] = ()
    imported: str | None = None
    quick: bool = False

    def __str__(self) -> str:
        parts = (
            "" if self.device_kind == "cpu" else self.device,
            self.processor,
            "" if self.cores is None else f"{self.usable_cores} of {self.cores} cores",
            "" if self.threads is None else f"{self.threads} threads",
            f"clock {self.clock}",
            f"{self.cache} caches",
            f"definitions {self.definitions_version}",
            *(f"file of {held}" for held in self.files),
            "" if self.imported is None else f"imported from {self.imported}, unchecked",
            "quick looks" if self.quick else "",
        )
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class HistoryPoint:
    """A time of a right result, or of one that is unchecked, with all that was recorded of its run."""

    run: RunRecord
    measurement: Measurement
    timing: TimingRecord
    median_ns: float

    @property
    def conditions(self) -> Conditions:
        e, device = self.run.environment, self.run.environment.device
        return Conditions(
            device_kind=device.kind,
            device=device.name,
            multiprocessors=device.multiprocessors,
            processor=e.processor,
            cores=e.cores,
            usable_cores=len(e.affinity) or e.cores,
            threads=e.threads,
            clock=self.timing.clock,
            cache=self.timing.cache,
            definitions_version=self.measurement.definitions_version,
            files=tuple(f"{axis} {held}" for axis, held in sorted(self.measurement.files.items())),
            imported=self.run.imported.tool if self.run.imported else None,
            quick=self.run.quick,
        )

    @property
    def day(self) -> str:
        """`2026-01-31`, in the time zone that was stored."""
        return self.run.started[:10]


@dataclass(frozen=True)
class Miss:
    """A run in which the benchmark was tried and has no time that may be shown."""

    run: RunRecord
    reason: str


Found = TypeVar("Found", HistoryPoint, Miss, HistoryPoint | Miss)


def point_or_miss(run: RunRecord, m: Measurement) -> HistoryPoint | Miss:
    """The time of a result that may have one, or why there is none."""
    if not m.outcome.may_have_speed:
        return Miss(run, f"{m.outcome.value}: {m.reason}" if m.reason else m.outcome.value)
    if m.paced is not None:
        return Miss(run, f"not timed: {m.paced}")
    if m.median_ns is None or not m.median_ns > 0 or m.timing is None:
        return Miss(run, f"not timed: {m.untimed}" if m.untimed else "not timed")
    return HistoryPoint(run, m, m.timing, m.median_ns)


def started(run: RunRecord) -> datetime:
    """When a run started; a time without a zone is taken as UTC. Raises StoreError on text that is no time."""
    return start_of(run.run_id, run.started)


def start_of(run_id: str, text: str) -> datetime:
    """As `started`, of the run's id and of what it has stored."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise StoreError(
            f"run {run_id} started at {text!r}, expected a time such as 2026-01-31T12:00:00+00:00; "
            "mend its run.json, or move the run elsewhere"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def in_order(runs: list[StoredRun]) -> list[StoredRun]:
    """Oldest first, whatever zones their times are in."""
    return sorted(runs, key=lambda stored: (started(stored.run), stored.run.run_id))


def in_time(found: Sequence[Found]) -> list[Found]:
    """As `in_order`, for what was found in runs."""
    return sorted(found, key=lambda one: (started(one.run), one.run.run_id))
