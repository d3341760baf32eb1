"""Derived quantities: one metric a file, each a number or a word worked out from one stored measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from attnlab.bench import units
from attnlab.bench.beyond import DOUBTED, Remark
from attnlab.bench.common_clock import under_common_clocks
from attnlab.bench.discovery import UNRANKED, import_all
from attnlab.bench.generation.events import broken_log
from attnlab.bench.registry import Registry, registry
from attnlab.bench.roofline import SpeedOfLight, measured_light, published_light
from attnlab.bench.store.jsonl import latest
from attnlab.bench.store.records import Measurement, Outcome, RunRecord
from attnlab.bench.text import one_line, reason_of

Value = float | str | None


@dataclass(frozen=True)
class Row:
    """What a metric is worked out from: a measurement, its run, and its baseline in that run."""

    run: RunRecord
    measurement: Measurement
    baseline: Measurement | None = None

    @property
    def passed(self) -> bool:
        return self.measurement.outcome is Outcome.PASSED

    @property
    def timed(self) -> bool:
        """Whether there is a time that may be shown: of a right result only."""
        return self.passed and self.measurement.median_ns is not None

    def measured_light(self) -> SpeedOfLight | None:
        """The least time of this case at the rates measured on the device."""
        operations, bytes_moved, dtype = self._costs()
        written = self.measurement.bytes_written
        return None if dtype is None else measured_light(self.run.ceilings, operations, bytes_moved, dtype, written)

    def published_light(self) -> SpeedOfLight | None:
        """The least time of this case at the rates that the device's data sheet gives."""
        operations, bytes_moved, dtype = self._costs()
        return None if dtype is None else published_light(self.run.ceilings, operations, bytes_moved, dtype)

    def _costs(self) -> tuple[int, int, str | None]:
        m = self.measurement
        if not m.operations and not m.bytes_moved:
            return 0, 0, None
        return m.operations or 0, m.bytes_moved or 0, m.case.get("dtype")


@dataclass(frozen=True)
class _Fault:
    error: Exception


@dataclass(frozen=True)
class Metric:
    """A derived quantity, shown as a column of every table.

    unit: `ns`, `B`, `share`, `ratio`, another unit as text, or "" for a word. direction: which way is
    better. `compute` gets a row and returns None where the quantity was not measured. `remark` says what is wrong
    with a row's value where that is more than there can be. Metrics are shown by rising `rank`, which no two share;
    those without one come in the order in which they were registered. Unless `of_any_outcome`, a result that did not
    pass has no value, whatever `compute` says: no figure of speed is shown for a wrong result.
    """

    name: str
    label: str
    unit: str
    direction: Literal["higher", "lower", "neither"]
    summary: str
    formula: str
    compute: Callable[[Row], Value]
    rank: int = UNRANKED
    of_any_outcome: bool = False
    remark: Callable[[Row], Remark | None] | None = None

    def value(self, row: Row) -> Value:
        """The row's value; None where it was not measured, is undefined, may not be shown, or the metric fails."""
        found = self._answer(row)
        return None if isinstance(found, _Fault) else found

    def remark_on(self, row: Row) -> Remark | None:
        """What is wrong with the row's value; None where nothing is, or where none is shown."""
        if self.remark is None or self.value(row) is None:
            return None
        try:
            return self.remark(row)
        except Exception:  # noqa: BLE001 - foreign code; `fault_on` tells it
            return None

    def fault_on(self, row: Row) -> str | None:
        """That the metric fails on the row, and how; the row's other figures are shown without it."""
        try:
            found = self._answer(row)
            if self.remark is not None and not isinstance(found, _Fault) and found is not None:
                self.remark(row)
        except Exception as error:  # noqa: BLE001 - foreign code
            found = _Fault(error)
        return f"metric {self.name!r} fails ({reason_of(found.error)})" if isinstance(found, _Fault) else None

    def _answer(self, row: Row) -> Value | _Fault:
        """A plugin's metric is foreign code, and what it gives may be of any class."""
        if not (row.passed or self.of_any_outcome):
            return None
        try:
            found = self.compute(row)
            if found is None or isinstance(found, str):
                return found and one_line(found)
            return float(found) if math.isfinite(found) else None
        except Exception as error:  # noqa: BLE001 - foreign code
            return _Fault(error)

    def text(self, row: Row) -> str:
        """The row's value with its unit, and what is wrong with it."""
        return remarked(units.format_value(self.value(row), self.unit), self.remark_on(row))


def remarked(text: str, remark: Remark | None) -> str:
    """`142 % (in a cache)`."""
    return text if remark is None else f"{text} ({remark.short})"


def of_measurement(compute: Callable[[Measurement], Value]) -> Callable[[Row], Value]:
    """The `compute` of a metric that needs nothing but the measurement, which others work out from it as well."""
    return lambda row: compute(row.measurement)


def rows_of(run: RunRecord, measurements: Sequence[Measurement]) -> list[Row]:
    """A row for each implementation and case of one run, the latest where one was measured again.

    The measurements of a case are shown by one clock, the best that all of them have samples of.
    """
    kept = [without_pace(m) for m in under_common_clocks(latest(measurements))]
    found = {m.key: m for m in kept}
    baselines = {
        (bench.operator, case_id): bench.baseline
        for bench in reversed(run.benches)
        if bench.baseline is not None
        for case_id in bench.cases
    }
    rows = [Row(run, m, found.get((m.operator, baselines.get((m.operator, m.case_id), ""), m.case_id))) for m in kept]
    return [with_remarks(row) for row in rows]


def without_pace(m: Measurement) -> Measurement:
    """The measurement, without a latency where the length of its calls is none, as in runs of earlier versions."""
    if m.paced is None or m.outcome is not Outcome.PASSED:
        return m
    return replace(m, median_ns=None, ci_low_ns=None, ci_high_ns=None, untimed=m.untimed or m.paced)


def with_remarks(row: Row) -> Row:
    """The row with what is wrong with its figures among the flags, by the ceilings and the rules that there are now."""
    kept = [flag for flag in row.measurement.flags if not flag.startswith(DOUBTED)]
    if (broken := broken_log(row.measurement)) is not None:
        kept.append(f"its log cannot be, so that no figure is made of it: {broken}")
    metrics = known_metrics()
    remarks = [metric.remark_on(row) for metric in metrics]
    said = [remark.words for remark in remarks if remark is not None]
    faults = [fault for metric in metrics if (fault := metric.fault_on(row)) is not None]
    flags = tuple(dict.fromkeys((*kept, *said, *faults)))
    return replace(row, measurement=replace(row.measurement, flags=flags))


def known_metrics(source: Registry = registry) -> list[Metric]:
    """All metrics, ours and those of loaded plugins, in the order in which they are shown."""
    import_all(__name__)
    return sorted(source.metrics, key=lambda metric: metric.rank)
