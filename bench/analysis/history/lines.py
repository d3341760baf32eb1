"""Lines of benchmarks over runs: one for each machine and method, cut where the level changes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from attnlab.bench.analysis.history.differences import Difference, differences
from attnlab.bench.analysis.history.points import Conditions, HistoryPoint, Miss, in_order, in_time, point_or_miss
from attnlab.bench.stats.changepoints import MIN_VALUES, find_changes
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
    def points(self) -> list[HistoryPoint]:
        """Of all lines, oldest first."""
        return in_time([point for line in self.lines for point in line.points])


Key = tuple[str, str, str]


@dataclass(frozen=True)
class BenchmarkRuns:
    """One benchmark as it lies in the runs, oldest first."""

    key: Key
    found: tuple[HistoryPoint | Miss, ...]


def tried(runs: Sequence[StoredRun]) -> list[BenchmarkRuns]:
    """Every implementation and case that any run tried; the last measurement where a run took several."""
    found: dict[Key, list[HistoryPoint | Miss]] = {}
    for stored in in_order(list(runs)):
        for m in latest(stored.measurements):
            found.setdefault(m.key, []).append(point_or_miss(stored.run, m))
    return [BenchmarkRuns(key, tuple(values)) for key, values in found.items()]


def benchmark(source: BenchmarkRuns) -> BenchmarkHistory | None:
    """Its lines with their changes; None where it never had a time."""
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
    found = find_changes([point.median_ns for point in points])
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
