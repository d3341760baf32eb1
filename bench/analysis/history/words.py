"""What a history says, as sentences: sizes, events in the order of time, changes that many benchmarks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.analysis.history.differences import Difference, explain
from attnlab.bench.analysis.history.lines import BenchmarkHistory, Break, Change
from attnlab.bench.analysis.history.points import HistoryPoint, started
from attnlab.bench.analysis.metrics.latency import METRIC as LATENCY
from attnlab.bench.contract.metric import Metric

Event = Change | Break


@dataclass(frozen=True)
class SharedChange:
    """Changes of several benchmarks between the same two runs, with the same explanation."""

    before: HistoryPoint
    after: HistoryPoint
    differences: tuple[Difference, ...]
    members: tuple[tuple[BenchmarkHistory, Change], ...]


def size(ratio: float, metric: Metric = LATENCY) -> str:
    """`1.052` -> `5.20 % more time`, `0.9` -> `10.0 % less time`; of another metric `10.0 % less TTFT`."""
    what = "time" if metric is LATENCY else metric.label
    if ratio == 1:
        return f"no other {what}"
    return f"{units.format_share(abs(ratio - 1))} {'more' if ratio > 1 else 'less'} {what}"


def size_of(change: Change) -> str:
    """By what its figure changed."""
    return size(change.ratio, change.after.metric)


def events(benchmark: BenchmarkHistory) -> list[Event]:
    """Changes and breaks of all lines, oldest first."""
    changes = [change for line in benchmark.lines for change in line.changes]
    return sorted([*changes, *benchmark.breaks], key=lambda event: started(event.after.run))


def told(event: Event) -> str:
    """An event and what it comes with: `5.20 % more time: package torch 2.12.0 → 2.13.0`."""
    what = size_of(event) if isinstance(event, Change) else "not to be compared, a line of its own from here"
    return f"{what}: {explain(event.differences)}"


def shared_changes(benchmarks: Sequence[BenchmarkHistory]) -> list[SharedChange]:
    """All changes, oldest first, those of the same runs and explanation together; largest first within."""
    groups: dict[tuple[str, str, tuple[Difference, ...]], list[tuple[BenchmarkHistory, Change]]] = {}
    for benchmark in benchmarks:
        for change in (change for line in benchmark.lines for change in line.changes):
            key = (change.before.run.run_id, change.after.run.run_id, change.differences)
            groups.setdefault(key, []).append((benchmark, change))
    found = [
        SharedChange(
            members[0][1].before,
            members[0][1].after,
            members[0][1].differences,
            tuple(sorted(members, key=lambda member: -member[1].ratio)),
        )
        for members in groups.values()
    ]
    return sorted(found, key=lambda shared: started(shared.after.run))
