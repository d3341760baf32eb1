"""Lines of benchmarks over runs: one for each machine and method, cut where the level changes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from attnlab.bench.analysis.history.differences import Difference, differences
from attnlab.bench.analysis.history.points import (
    Conditions,
    HistoryPoint,
    Miss,
    figure_or_miss,
    in_order,
    in_time,
    point_or_miss,
)
from attnlab.bench.analysis.metrics import known_metrics
from attnlab.bench.analysis.metrics.latency import METRIC as LATENCY
from attnlab.bench.contract.metric import Metric, Row, Value
from attnlab.bench.errors import UnknownName
from attnlab.bench.stats.changepoints import MIN_VALUES, find_changes
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.store.run_folder import StoredRun, latest


@dataclass(frozen=True)
class Change:
    """The level of a line changes between two of its runs.

    index: of the first point after it. ratio: the median after over the median before, each up to the
    next change. p_value: of no change between its neighbours.
    """

    index: int
    before: HistoryPoint
    after: HistoryPoint
    ratio: float
    p_value: float
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class HistoryLine:
    """Times that may be compared, oldest first; at least one."""

    conditions: Conditions
    points: tuple[HistoryPoint, ...]
    changes: tuple[Change, ...]

    @property
    def searched(self) -> bool:
        """Whether there are enough runs for a change to show."""
        return len(self.points) >= MIN_VALUES

    def levels(self) -> list[tuple[HistoryPoint, ...]]:
        """The points between changes."""
        bounds = [0, *(change.index for change in self.changes), len(self.points)]
        return [self.points[start:end] for start, end in itertools.pairwise(bounds)]


@dataclass(frozen=True)
class Break:
    """A line starts because times of this run may not be compared with those of the run before it."""

    before: HistoryPoint
    after: HistoryPoint
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class BenchmarkHistory:
    """One implementation on one case, over all runs: lines by their first run, the breaks between them, misses."""

    operator: str
    implementation: str
    case_id: str
    lines: tuple[HistoryLine, ...]
    breaks: tuple[Break, ...]
    misses: tuple[Miss, ...]

    @property
    def name(self) -> str:
        return f"{self.operator}/{self.implementation}/{self.case_id}"

    @property
    def metric(self) -> Metric:
        """What its points are a figure of."""
        return self.lines[0].points[0].metric

    @property
    def points(self) -> list[HistoryPoint]:
        """Of all lines, oldest first."""
        return in_time([point for line in self.lines for point in line.points])


Key = tuple[str, str, str]


@dataclass(frozen=True)
class BenchmarkRuns:
    """One benchmark as it lies in the runs, oldest first."""

    key: Key
    found: tuple[HistoryPoint | Miss, ...]


Tried = Sequence[tuple[StoredRun, Measurement]]
Values = Callable[[StoredRun, Measurement, Metric], Value]
"""What a metric says of a measurement of a run."""


def worked_out(stored: StoredRun, m: Measurement, metric: Metric) -> Value:
    return metric.value(Row(stored.run, m, None))


def tried(runs: Sequence[StoredRun], wanted: str | None = None, values: Values = worked_out) -> list[BenchmarkRuns]:
    """Every implementation and case that any run tried; the last measurement where a run took several.

    wanted: the metric to follow. Where it is None that is the time of a call; of what has none because requests come at
    times of their own, or because another tool told none, it is the first metric that it has.
    """
    found: dict[Key, list[tuple[StoredRun, Measurement]]] = {}
    for stored in in_order(list(runs)):
        for m in latest(stored.measurements):
            found.setdefault(m.key, []).append((stored, m))
    metric = None if wanted is None else numeric_metric(wanted)
    return [BenchmarkRuns(key, _figures(members, metric, values)) for key, members in found.items()]


def numeric_metric(name: str) -> Metric:
    """Raises UnknownName where there is none of that name whose values are numbers."""
    known = {metric.name: metric for metric in known_metrics() if metric.unit}
    if name not in known:
        raise UnknownName("metric", name, known)
    return known[name]


def _figures(members: Tried, metric: Metric | None, values: Values) -> tuple[HistoryPoint | Miss, ...]:
    if metric is not None and metric is not LATENCY:
        return _of(members, metric, values)
    times = tuple(point_or_miss(stored.run, m) for stored, m in members)
    timed = any(isinstance(one, HistoryPoint) for one in times)
    if metric is not None or timed or not any(_without_time(m) for _, m in members):
        return times
    others = (_of(members, one, values) for one in known_metrics() if one.unit and one is not LATENCY)
    return next((found for found in others if any(isinstance(one, HistoryPoint) for one in found)), times)


def _of(members: Tried, metric: Metric, values: Values) -> tuple[HistoryPoint | Miss, ...]:
    return tuple(figure_or_miss(stored.run, m, metric, values(stored, m, metric)) for stored, m in members)


def _without_time(m: Measurement) -> bool:
    """Whether it says something, but not how long a call takes."""
    return m.outcome.may_have_speed and (m.paced is not None or m.outcome is Outcome.UNCHECKED)


def benchmark(source: BenchmarkRuns) -> BenchmarkHistory | None:
    """Its lines with their changes; None where it never had a figure."""
    points = [found for found in source.found if isinstance(found, HistoryPoint)]
    misses = tuple(found for found in source.found if isinstance(found, Miss))
    grouped: dict[Conditions, list[HistoryPoint]] = {}
    breaks = []
    for place, point in enumerate(points):
        if point.conditions not in grouped and place:
            before = points[place - 1]
            breaks.append(Break(before, point, differences([before], [point])))
        grouped.setdefault(point.conditions, []).append(point)
    if not grouped:
        return None
    lines = tuple(_line(conditions, members) for conditions, members in grouped.items())
    return BenchmarkHistory(*source.key, lines, tuple(breaks), misses)


def _line(conditions: Conditions, points: Sequence[HistoryPoint]) -> HistoryLine:
    found = find_changes([point.value for point in points])
    plain = tuple(
        Change(c.index, points[c.index - 1], points[c.index], c.ratio, c.p_value, differences=()) for c in found
    )
    levels = HistoryLine(conditions, tuple(points), plain).levels()
    return HistoryLine(
        conditions,
        tuple(points),
        tuple(
            replace(change, differences=differences(levels[number], levels[number + 1]))
            for number, change in enumerate(plain)
        ),
    )
