"""What `attnlab history` prints: what changed, in words, then one row a benchmark; or all of it as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from attnlab.bench import text_table, units
from attnlab.bench.analysis.history import words
from attnlab.bench.analysis.history.differences import Difference, explain
from attnlab.bench.analysis.history.lines import BenchmarkHistory, Change, HistoryLine
from attnlab.bench.analysis.metrics.latency import METRIC as LATENCY
from attnlab.bench.stats.changepoints import LEVEL, MIN_VALUES
from attnlab.bench.text import count

if TYPE_CHECKING:
    from rich.table import Table

PIPE_WIDTH = 180  # where there is no terminal to ask


def show(benchmarks: Sequence[BenchmarkHistory], without: int, wanted: str | None, paths: Sequence[Path]) -> None:
    """without: how many benchmarks have no figure of the metric wanted."""
    console = text_table.console(PIPE_WIDTH)
    for line in _sentences(benchmarks, without, wanted):
        console.print(line, markup=False, highlight=False, soft_wrap=not sys.stdout.isatty())
    console.print()
    console.print(_table(benchmarks), markup=False, highlight=False)
    console.print()
    for path in paths:
        console.print(str(path), markup=False, highlight=False, soft_wrap=True)


def _sentences(benchmarks: Sequence[BenchmarkHistory], without: int, wanted: str | None) -> Iterator[str]:
    points = [point for benchmark in benchmarks for point in benchmark.points]
    runs = {point.run.run_id: point.day for point in points}
    lines = [line for benchmark in benchmarks for line in benchmark.lines]
    searched = [line for line in lines if line.searched]
    changed = sum(any(line.changes for line in benchmark.lines) for benchmark in benchmarks)
    yield (
        f"{count(len(benchmarks), 'benchmark')} over {count(len(runs), 'run')}, {min(runs.values())} to "
        f"{max(runs.values())}: {changed or 'none'} changed."
    )
    if short := len(lines) - len(searched):
        yield f"{count(short, 'line')} of {len(lines)} with fewer than {MIN_VALUES} runs: too few to tell a change."
    if searched:
        yield (
            f"A line without change shows one with a chance of at most {units.format_share(LEVEL)} where its runs are "
            f"independent; {count(len(searched), 'line')} searched."
        )
    if without:
        why = "never timed" if wanted is None else f"without {wanted}"
        yield f"{count(without, 'benchmark')} {why}, left out."
    for shared in words.shared_changes(benchmarks):
        yield ""
        yield f"From {shared.before.run.run_id} to {shared.after.run.run_id}: {explain(shared.differences)}"
        for benchmark, change in shared.members:
            yield f"  {words.size_of(change)}: {benchmark.name}"
    yield from _breaks(benchmarks)


def _breaks(benchmarks: Sequence[BenchmarkHistory]) -> Iterator[str]:
    groups: dict[tuple[str, str, tuple[Difference, ...]], int] = {}
    for one in (one for benchmark in benchmarks for one in benchmark.breaks):
        key = (one.before.run.run_id, one.after.run.run_id, one.differences)
        groups[key] = groups.get(key, 0) + 1
    for (before, after, differences), number in groups.items():
        yield ""
        yield f"{count(number, 'line')} broken from {before} to {after}: {explain(differences)}"


def _table(benchmarks: Sequence[BenchmarkHistory]) -> Table:
    table = text_table.table()
    for column in ("benchmark", "runs", "first", "last", "changes"):
        table.add_column(column, overflow="fold", justify="left" if column in ("benchmark", "changes") else "right")
    for benchmark in benchmarks:
        if len(benchmark.lines) > 1:
            table.add_row(Text(_named(benchmark)))
        for line in benchmark.lines:
            first, last = line.points[0], line.points[-1]
            table.add_row(
                Text(_named(benchmark) if len(benchmark.lines) == 1 else f"  since {first.day}: {line.conditions}"),
                str(len(line.points)),
                units.format_value(first.value, first.metric.unit),
                units.format_value(last.value, last.metric.unit),
                _changes(line),
            )
        if benchmark.misses:
            what = "time" if benchmark.metric is LATENCY else benchmark.metric.label
            reasons = "; ".join(dict.fromkeys(miss.reason for miss in benchmark.misses))
            table.add_row(Text(f"  no {what} in {count(len(benchmark.misses), 'run')}: {reasons}"))
    return table


def _named(benchmark: BenchmarkHistory) -> str:
    """With what its figures are, where they are no times of calls."""
    return benchmark.name if benchmark.metric is LATENCY else f"{benchmark.name}: {benchmark.metric.label}"


def _changes(line: HistoryLine) -> str:
    if not line.searched:
        return "too few runs"
    return "; ".join(f"{words.size_of(change)} since {change.after.day}" for change in line.changes) or "none"


def as_json(benchmarks: Sequence[BenchmarkHistory], paths: Sequence[Path]) -> dict[str, Any]:
    """Figures in the metric's unit, dates as stored; a break and a change name the runs that they lie between."""
    return {"benchmarks": [_benchmark(one) for one in benchmarks], "plots": [str(path) for path in paths]}


def _benchmark(one: BenchmarkHistory) -> dict[str, Any]:
    return {
        "name": one.name,
        "operator": one.operator,
        "implementation": one.implementation,
        "case_id": one.case_id,
        "metric": one.metric.name,
        "unit": one.metric.unit,
        "lines": [_line(line) for line in one.lines],
        "breaks": [
            {"before": b.before.run.run_id, "after": b.after.run.run_id, "differences": _differences(b.differences)}
            for b in one.breaks
        ],
        "misses": [{"run": miss.run.run_id, "started": miss.run.started, "reason": miss.reason} for miss in one.misses],
    }


def _line(line: HistoryLine) -> dict[str, Any]:
    points = [
        {
            "run": point.run.run_id,
            "started": point.run.started,
            "revision": point.run.environment.revision,
            "fingerprint": point.measurement.fingerprint,
            "median_ns": point.value if point.metric is LATENCY else None,
            "value": point.value,
        }
        for point in line.points
    ]
    conditions = vars(line.conditions)
    return {
        "conditions": conditions,
        "searched": line.searched,
        "points": points,
        "changes": [_change(c) for c in line.changes],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "before": change.before.run.run_id,
        "after": change.after.run.run_id,
        "ratio": change.ratio,
        "p_value": change.p_value,
        "explanation": explain(change.differences),
        "differences": _differences(change.differences),
    }


def _differences(found: Sequence[Difference]) -> list[dict[str, Any]]:
    return [vars(difference) for difference in found]
