"""The table at the end of a run: for each case, what came of every implementation, fastest first."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from attnlab.bench import units
from attnlab.bench.metrics import Metric, Row, known_metrics, rows_of
from attnlab.bench.store.records import Measurement, Outcome

if TYPE_CHECKING:
    from attnlab.bench.registry import Registry
    from attnlab.bench.store.jsonl import StoredRun

COLUMNS = ("speedup", "tflop_per_s", "gb_per_s", "share_of_ceiling", "peak_memory_bytes", "error_of_budget")
PIPE_WIDTH = 140  # where there is no terminal to ask


def show(stored: StoredRun, registry: Registry) -> None:
    """Print the run; a speed stands beside `passed` only."""
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    metrics = [metric for metric in known_metrics(registry) if metric.name in COLUMNS]
    rows = rows_of(stored.run, stored.measurements)
    rows.sort(
        key=lambda row: (
            row.measurement.operator,
            _place(stored, row),
            not row.timed,
            row.measurement.median_ns or 0,
        )
    )
    for (operator, case), group in itertools.groupby(
        rows, key=lambda r: (r.measurement.operator, r.measurement.case_id)
    ):
        in_case = list(group)
        right = [row for row in in_case if row.passed]
        console.print(_case_table(f"{operator}  {case}", right, metrics), markup=False, highlight=False)
        for line in _others(in_case):
            console.print(line, markup=False, highlight=False)
        console.print()


def _place(stored: StoredRun, row: Row) -> int:
    cases = [case for bench in stored.run.benches for case in bench.cases]
    return cases.index(row.measurement.case_id)


def _case_table(title: str, rows: list[Row], metrics: list[Metric]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("implementation", no_wrap=True)
    table.add_column("latency (95 % interval)", justify="right", no_wrap=True)
    for metric in metrics:
        table.add_column(metric.label, justify="right")
    for row in rows:
        table.add_row(row.measurement.implementation, _latency(row.measurement), *(_text(m, row) for m in metrics))
    return table


def _text(metric: Metric, row: Row) -> str:
    value = metric.value(row)
    return value if isinstance(value, str) else units.format_value(value, metric.unit)


def _others(rows: list[Row]) -> Iterator[str]:
    """What has no time: wrong or failed results first, then those that were not timed or could not run."""
    faults, reasons = [], dict[str, list[str]]()
    for m in (row.measurement for row in rows):
        if m.outcome is Outcome.UNAVAILABLE:
            reasons.setdefault(f"unavailable: {m.reason}", []).append(m.implementation)
        elif m.outcome is not Outcome.PASSED:
            faults.append(f"! {m.implementation}: {m.outcome.value}: {m.reason}")
        elif m.untimed:
            reasons.setdefault(f"right, not timed: {m.untimed}", []).append(m.implementation)
    yield from faults
    yield from (f"  {', '.join(names)}: {reason}" for reason, names in reasons.items())


def _latency(m: Measurement) -> str:
    if m.median_ns is None or m.outcome is not Outcome.PASSED:
        return units.MISSING
    spread = (
        (m.ci_high_ns - m.ci_low_ns) / 2 / m.median_ns if m.ci_low_ns is not None and m.ci_high_ns is not None else None
    )
    return f"{units.format_time(m.median_ns)} ± {units.format_share(spread)}"
