"""One result with its figures, and the columns in which every table shows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from attnlab.bench import units
from attnlab.bench.contract.beyond import Remark
from attnlab.bench.contract.metric import Metric, Row, Value, remarked
from attnlab.bench.reporters.model.cases import CaseRef
from attnlab.bench.store.records import Outcome

WRONG = (Outcome.WRONG_SHAPE, Outcome.WRONG_DTYPE, Outcome.WRONG_VALUES)
BROKEN = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY)


@dataclass(frozen=True)
class Result:
    """One implementation on one case; `figures` are the metrics' values by name, None where not measured.

    remarks: what is wrong with a figure, by the metric's name; most have none.
    """

    row: Row
    case: CaseRef
    figures: Mapping[str, Value]
    remarks: Mapping[str, Remark] = field(default_factory=dict)

    @property
    def implementation(self) -> str:
        return self.row.measurement.implementation

    @property
    def outcome(self) -> Outcome:
        return self.row.measurement.outcome

    @property
    def passed(self) -> bool:
        return self.row.passed

    @property
    def timed(self) -> bool:
        return self.row.timed

    @property
    def wrong(self) -> bool:
        return self.outcome in WRONG

    @property
    def outcome_text(self) -> str:
        """`passed`, `passed, not timed`, `wrong values`, …"""
        text = self.outcome.value.replace("_", " ")
        if self.passed and self.row.measurement.paced is not None:
            return f"{text}, paced by arrivals"
        return f"{text}, not timed" if self.passed and not self.timed else text

    @property
    def reason(self) -> str | None:
        """Why it did not pass, or why it was not timed."""
        return self.row.measurement.reason or (self.row.measurement.untimed if not self.timed else None)

    @property
    def method(self) -> tuple[str, str] | None:
        """Clock and state of the caches: figures of different methods are never compared."""
        timing = self.row.measurement.timing
        return (timing.clock, timing.cache) if timing and self.timed else None

    @property
    def median_ns(self) -> float | None:
        return self.row.measurement.median_ns if self.timed else None

    @property
    def interval_ns(self) -> tuple[float, float] | None:
        """The median's 95 % interval; None where there is none, or no time that may be shown."""
        low, high = self.row.measurement.ci_low_ns, self.row.measurement.ci_high_ns
        if not self.timed or low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            return None
        return low, high

    @property
    def samples_ns(self) -> list[float]:
        """The samples behind the median; [] where there is no time that may be shown."""
        timing = self.row.measurement.timing
        return self.row.measurement.values("latency", timing.clock) if timing and self.timed else []

    def number(self, metric: str) -> float | None:
        """A metric's value where it is a number."""
        value = self.figures.get(metric)
        return value if isinstance(value, float) else None

    def share(self, metric: str) -> str:
        """A metric's value as a share, and what is wrong with it."""
        return remarked(units.format_share(self.number(metric)), self.remarks.get(metric))


def result_of(row: Row, case: CaseRef, metrics: Sequence[Metric]) -> Result:
    figures = {metric.name: metric.figure(row) for metric in metrics}
    remarks = {name: figure.remark for name, figure in figures.items() if figure.remark is not None}
    return Result(row, case, {name: figure.value for name, figure in figures.items()}, remarks)


@dataclass(frozen=True)
class Column:
    """A column: what it is called, what it means, a result's value to sort by and as text."""

    name: str
    label: str
    unit: str
    definition: str
    value: Callable[[Result], Value]
    text: Callable[[Result], str]
    numeric: bool = True

    @property
    def heading(self) -> str:
        unit = units.heading_unit(self.unit)
        return f"{self.label}, {unit}" if unit else self.label


def columns(metrics: Sequence[Metric]) -> tuple[Column, ...]:
    """What is known of a result beside its implementation, case and outcome."""
    shown = [_metric_column(metric) for metric in metrics]
    return (*shown[:1], _INTERVAL, *shown[1:], _DETERMINISTIC, _FLAGS)


def _metric_column(metric: Metric) -> Column:
    return Column(
        metric.name,
        metric.label,
        metric.unit,
        f"{metric.summary} {metric.formula[:1].upper()}{metric.formula[1:]}.",
        lambda result: result.figures[metric.name],
        lambda result: remarked(
            units.format_cell(result.figures[metric.name], metric.unit), result.remarks.get(metric.name)
        ),
        numeric=bool(metric.unit),
    )


def _width(result: Result) -> float | None:
    interval, median = result.interval_ns, result.median_ns
    return (interval[1] - interval[0]) / median if interval and median else None


def _interval_text(result: Result) -> str:
    low, high = result.interval_ns or (None, None)
    return units.format_interval(low, high, "ns")


def _yes_no(result: Result) -> str | None:
    check = result.row.measurement.check
    if check is None or check.deterministic is None:
        return None
    return "yes" if check.deterministic else "no"


def _flags(result: Result) -> str | None:
    return "; ".join(result.row.measurement.flags) or None


_INTERVAL = Column(
    "interval",
    "95 % interval",
    "ns",
    "Order-statistic interval of the median within one process, adjusted for autocorrelation; sorted by its "
    "width over the median. Never compare revisions by it.",
    _width,
    _interval_text,
)
_DETERMINISTIC = Column(
    "deterministic",
    "deterministic",
    "",
    "Whether two calls on the same inputs agreed bit for bit.",
    _yes_no,
    lambda result: _yes_no(result) or units.MISSING,
    numeric=False,
)
_FLAGS = Column(
    "flags",
    "flags",
    "",
    "Warnings about how the result was measured.",
    _flags,
    lambda result: _flags(result) or units.MISSING,
    numeric=False,
)
