"""One benchmark in one run: its time, or another figure, and the conditions under which two of them compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from attnlab.bench.analysis.metrics.latency import METRIC as LATENCY
from attnlab.bench.contract.metric import Metric, Value
from attnlab.bench.errors import StoreError
from attnlab.bench.store.machine import UNKNOWN, UNTOLD
from attnlab.bench.store.records import Measurement, RunRecord
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
    clock: str | None
    cache: str | None
    definitions_version: int
    files: tuple[str, ...] = ()
    imported: str | None = None
    quick: bool = False

    def __str__(self) -> str:
        untold = self.device == self.processor == UNKNOWN
        parts = (
            "" if self.device_kind == "cpu" or self.device == UNKNOWN else self.device,
            UNTOLD if untold else "" if self.processor == UNKNOWN else self.processor,
            "" if self.cores is None else f"{self.usable_cores} of {self.cores} cores",
            "" if self.threads is None else f"{self.threads} threads",
            "" if self.clock is None else f"clock {self.clock}",
            "" if self.cache in (None, UNKNOWN) else f"{self.cache} caches",
            f"definitions {self.definitions_version}",
            *(f"file of {held}" for held in self.files),
            "" if self.imported is None else f"imported from {self.imported}, unchecked",
            "quick looks" if self.quick else "",
        )
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class HistoryPoint:
    """A figure of a right result, or of one that is unchecked, with all that was recorded of its run.

    value: above zero, in the metric's unit.
    """

    run: RunRecord
    measurement: Measurement
    metric: Metric
    value: float

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of a time that one process gave; None where there is none."""
        low, high = self.measurement.ci_low_ns, self.measurement.ci_high_ns
        known = self.metric is LATENCY and low is not None and high is not None and 0 < low <= high < math.inf
        return (low, high) if known and low is not None and high is not None else None

    @property
    def conditions(self) -> Conditions:
        e, device, timing = self.run.environment, self.run.environment.device, self.measurement.timing
        return Conditions(
            device_kind=device.kind,
            device=device.name,
            multiprocessors=device.multiprocessors,
            processor=e.processor,
            cores=e.cores,
            usable_cores=len(e.affinity) or e.cores,
            threads=e.threads,
            clock=timing.clock if timing else None,
            cache=timing.cache if timing else None,
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
    """A run in which the benchmark was tried and has no figure that may be shown."""

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
    return HistoryPoint(run, m, LATENCY, m.median_ns)


def figure_or_miss(run: RunRecord, m: Measurement, metric: Metric, value: Value) -> HistoryPoint | Miss:
    """As `point_or_miss`, of another figure than the latency."""
    if not (m.outcome.may_have_speed or metric.of_any_outcome):
        return Miss(run, f"{m.outcome.value}: {m.reason}" if m.reason else m.outcome.value)
    if not isinstance(value, float) or not value > 0:
        return Miss(run, f"no {metric.label}" if value is None else f"{metric.label} {value}, which has no ratio")
    return HistoryPoint(run, m, metric, value)


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
