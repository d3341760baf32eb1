"""The table at the end of a run: for each case, what came of every implementation, fastest first."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attnlab.bench import text_table, units
from attnlab.bench.analysis.metrics import known_metrics, rows_of
from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.measure.turn_ratios import busy
from attnlab.bench.reporters.model.cases import CaseRef
from attnlab.bench.reporters.model.picks import pick
from attnlab.bench.reporters.model.results import result_of
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.text import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from attnlab.bench.contract.registry import Registry
    from attnlab.bench.store.run_folder import StoredRun

SERVING = (
    "ttft_ns",
    "ttft_p95_ns",
    "itl_ns",
    "offered_per_s",
    "answered_per_s",
    "goodput_per_s",
    "output_tok_per_s",
    "failed_requests",
)
COLUMNS = ("speedup", "tflop_per_s", "gb_per_s", "share_of_ceiling", "peak_memory_bytes", "error_of_budget")
FAILED = "failed_requests"
BUSY, NO_INTERVAL = "!", "?"  # beside a time
SAID = 200  # characters of what a process printed
PIPE_WIDTH = 140  # where there is no terminal to ask


def show(stored: StoredRun, registry: Registry) -> None:
    """Print the run; a speed stands beside `passed` only."""
    console = text_table.console(PIPE_WIDTH)
    known = known_metrics(registry)
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
        paced = any(row.measurement.paced is not None for row in right)
        metrics = [metric for metric in known if metric.name in (SERVING if paced else COLUMNS)]
        metrics += [metric for metric in known if metric.name == FAILED and not paced and any(map(metric.value, right))]
        console.print(_case_table(f"{operator}  {case}", right, metrics), markup=False, highlight=False)
        for line in (*_marks(in_case), *_fastest(case, in_case, known)):
            console.print(line, markup=False, highlight=False)
        for line in _others(in_case):
            console.print(line, markup=False, highlight=False)
        console.print()


def _place(stored: StoredRun, row: Row) -> int:
    cases = [case for bench in stored.run.benches for case in bench.cases]
    return cases.index(row.measurement.case_id)


def _case_table(title: str, rows: list[Row], metrics: list[Metric]) -> Table:
    table = text_table.table(title, "bold")
    table.add_column("implementation", no_wrap=True)
    timed = not any(row.measurement.paced is not None for row in rows)
    if timed:
        table.add_column("latency (95 % interval; samples)", justify="right", no_wrap=True)
    for metric in metrics:
        table.add_column(metric.label, justify="right")
    for row in rows:
        latency = (_latency(row.measurement),) if timed else ()
        table.add_row(row.measurement.implementation, *latency, *(m.text(row) for m in metrics))
    return table


def _marks(rows: list[Row]) -> Iterator[str]:
    """What the marks beside times mean, where there are any."""
    shown = [row.measurement for row in rows if row.timed]
    if any(busy(m) for m in shown):
        yield f"  {BUSY} the machine was busy: too long by an unknown factor"
    if any(_spread(m) is None for m in shown):
        yield f"  {NO_INTERVAL} no interval is claimed, see the flags in the report"


def _fastest(case: str, rows: list[Row], metrics: list[Metric]) -> Iterator[str]:
    """Which to use, where that is known."""
    found = pick(CaseRef(case, case, None), [result_of(row, CaseRef(case, case, None), metrics) for row in rows])
    if found is None or found.alone:
        return
    how = f", by {found.rounds} rounds of fresh processes" if found.rounds else ""
    if found.unclear:
        yield "  fastest: not known, as the machine was busy and its noise cannot be seen through"
    elif found.told_apart:
        yield f"  fastest: {found.best.implementation}, {units.format_ratio(found.lead)} as fast as the next{how}"
    else:
        why = "" if found.rounds else ": they took no turns in fresh processes"
        yield f"  fastest: {', '.join(found.names)} are not told apart{how}{why}"


def _others(rows: list[Row]) -> Iterator[str]:
    """What has no time: wrong or failed results first, then those that were not timed or could not run."""
    faults, reasons = [], dict[str, list[str]]()
    for m in (row.measurement for row in rows):
        if m.outcome is Outcome.UNAVAILABLE:
            reasons.setdefault(f"unavailable: {m.reason}", []).append(m.implementation)
        elif m.outcome is not Outcome.PASSED:
            faults.append(f"! {m.implementation}: {m.outcome.value}: {m.reason}")
            if m.printed:
                faults.append(f"    its process printed: {one_line(m.printed, SAID)}")
        elif m.paced is not None:
            reasons.setdefault(m.paced, []).append(m.implementation)
        elif m.untimed:
            reasons.setdefault(f"right, not timed: {m.untimed}", []).append(m.implementation)
    yield from faults
    yield from (f"  {', '.join(names)}: {reason}" for reason, names in reasons.items())


def _latency(m: Measurement) -> str:
    """The time with its interval and the effective number of samples; marked where it is not to be trusted."""
    if m.median_ns is None:
        return units.MISSING
    spread = _spread(m)
    interval = NO_INTERVAL if spread is None else f"± {units.format_share(spread)}"
    worth = "" if m.timing is None or m.timing.effective is None else f"; {m.timing.effective:.0f}"
    return f"{f'{BUSY} ' if busy(m) else ''}{units.format_time(m.median_ns)} {interval}{worth}"


def _spread(m: Measurement) -> float | None:
    """Half the interval over the median; None where no interval is claimed."""
    if m.median_ns is None or m.ci_low_ns is None or m.ci_high_ns is None:
        return None
    return (m.ci_high_ns - m.ci_low_ns) / 2 / m.median_ns
