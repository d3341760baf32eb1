"""The table at the end of a run: for each case, what came of every implementation, fastest first."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attnlab.bench import text_table, units
from attnlab.bench.analysis.metrics import known_metrics, rows_of
from attnlab.bench.cli._notes import NO_INTERVAL, Marks, reasons
from attnlab.bench.contract.labels import label_cases
from attnlab.bench.contract.metric import Metric, Row, remarked
from attnlab.bench.contract.operator_spec import OF_A_KERNEL
from attnlab.bench.reporters.model.cases import CaseRef
from attnlab.bench.reporters.model.picks import pick
from attnlab.bench.reporters.model.results import result_of
from attnlab.bench.store.records import Measurement, Outcome
from attnlab.bench.text import brief, one_line

if TYPE_CHECKING:
    from attnlab.bench.contract.registry import Registry
    from attnlab.bench.store.run_folder import StoredRun

LATENCY, FAILED = "latency_ns", "failed_requests"
QUICK_LOOK = (
    "This is a quick look: no gate takes it, and it is compared with quick looks alone. In full: leave --quick out."
)
SAID = 200  # characters of what a process printed


def show(stored: StoredRun, registry: Registry) -> None:
    """Print the run; a wrong result has no speed.

    It is as wide as the terminal. What is piped has neither a width nor colours.
    """
    print("\n".join(lines(stored, registry, text_table.terminal_width())))


def lines(stored: StoredRun, registry: Registry, width: int | None) -> Iterator[str]:
    """What `show` prints, in `width` characters a line where that is not None."""
    known = known_metrics(registry)
    rows = rows_of(stored.run, stored.measurements)
    rows.sort(key=lambda row: (row.measurement.operator, _place(stored, row), *_standing(row)))
    marks, spelled = Marks(), _spelled(rows, registry)
    for (operator, case), group in itertools.groupby(rows, lambda r: (r.measurement.operator, r.measurement.case_id)):
        in_case = list(group)
        right = [row for row in in_case if row.measurement.outcome.may_have_speed]
        yield from _title(operator, spelled[operator, case], width)
        if right:
            figures = list(_figures(operator, right, known, registry))
            yield from text_table.fitted(*_cells(right, figures, marks), width)
        for line in _fastest(case, in_case, known):
            yield from text_table.paragraph(line, width)
        for line in _faults(in_case):
            yield from text_table.paragraph(line, width, indent="")
        yield ""
    for mark, line in (*marks.words(), *reasons(rows)):
        yield from text_table.paragraph(line, width, indent="", mark=mark)
    if stored.run.quick:
        yield from text_table.paragraph(QUICK_LOOK, width, indent="")


def _place(stored: StoredRun, row: Row) -> int:
    cases = [case for bench in stored.run.benches for case in bench.cases]
    own = row.measurement.case_id
    return cases.index(own) if own in cases else len(cases)


def _spelled(rows: list[Row], registry: Registry) -> dict[tuple[str, str], str]:
    """Each case's id with every axis that varies among those of its operator, also where that is at its default."""
    found: dict[tuple[str, str], str] = {}
    for operator in dict.fromkeys(row.measurement.operator for row in rows):
        case_type = registry.operators.get(operator).case_type if operator in registry.operators else None
        labels = label_cases((r.measurement.case_id for r in rows if r.measurement.operator == operator), case_type)
        found |= {(operator, case_id): label.spelled for case_id, label in labels.by_id.items()}
    return found


def _standing(row: Row) -> tuple[bool, float]:
    return not row.timed, row.measurement.median_ns or 0.0


def _title(operator: str, case: str, width: int | None) -> Iterator[str]:
    whole = f"{operator}  {case}"
    parts = (whole,) if width is None or len(whole) <= width else (operator, case)
    yield from map(text_table.bold, parts)


def _figures(operator: str, rows: list[Row], known: list[Metric], registry: Registry) -> Iterator[Metric]:
    """What a short table shows of the operator where any row has it: headlines, and what plugins and tools bring."""
    named = registry.operators.get(operator).headlines if operator in registry.operators else OF_A_KERNEL
    by_name = {metric.name: metric for metric in known}
    reported = {name for row in rows for name in row.measurement.reported}
    others = [n for n in by_name if n in reported or not registry.metrics.module(n).startswith("attnlab.")]
    for metric in (by_name[name] for name in dict.fromkeys((*named, *others)) if name in by_name):
        if any(metric.value(row) is not None for row in rows):
            yield metric
    if FAILED in by_name and FAILED not in (*named, *others) and any(map(by_name[FAILED].value, rows)):
        yield by_name[FAILED]


def _cells(rows: list[Row], figures: list[Metric], marks: Marks) -> tuple[list[list[str]], tuple[int, ...]]:
    """Headings and rows, and the columns of words."""
    headings = ["implementation"]
    body = [[row.measurement.implementation] for row in rows]
    for metric in figures:
        unit = units.heading_unit(metric.unit)
        headings.append(f"{metric.label}, {unit}" if unit else metric.label)
        for cells, row in zip(body, rows, strict=True):
            cells.append(remarked(units.format_cell(metric.value(row), metric.unit), metric.remark_on(row)))
        if metric.name == LATENCY:
            headings.append("95 % interval")
            for cells, row in zip(body, rows, strict=True):
                cells.append(_interval(row.measurement))
    flags = [marks.of(row, any(metric.name == LATENCY for metric in figures)) for row in rows]
    words: tuple[int, ...] = (0,)
    if any(flags):
        words = (0, len(headings))
        headings.append("flags")
        for cells, flag in zip(body, flags, strict=True):
            cells.append(flag)
    return [headings, *body], words


def _interval(m: Measurement) -> str:
    """Half the interval over the median."""
    if m.median_ns is None:
        return units.MISSING
    if m.ci_low_ns is None or m.ci_high_ns is None:
        return NO_INTERVAL
    return f"± {units.format_share((m.ci_high_ns - m.ci_low_ns) / 2 / m.median_ns)}"


def _fastest(case: str, rows: list[Row], metrics: list[Metric]) -> Iterator[str]:
    """Which to use, where that is known."""
    found = pick(CaseRef(case, case, None), [result_of(row, CaseRef(case, case, None), metrics) for row in rows])
    if found is None or found.alone:
        return
    how = f", by {found.rounds} rounds of fresh processes" if found.rounds else ""
    if found.unclear:
        yield "fastest: not known, as the machine was busy and its noise cannot be seen through"
    elif found.told_apart:
        yield f"fastest: {found.best.implementation}, {units.format_ratio(found.lead)} as fast as the next{how}"
    else:
        why = "" if found.rounds else ": they took no turns in fresh processes"
        yield f"fastest: {', '.join(found.names)} are not told apart{how}{why}"


def _faults(rows: list[Row]) -> Iterator[str]:
    """What is wrong or failed."""
    for m in (row.measurement for row in rows):
        if not m.outcome.may_have_speed and m.outcome is not Outcome.UNAVAILABLE:
            yield f"! {m.implementation}: {m.outcome.value}: {brief(m.reason or 'no reason stored')}"
            if m.printed:
                yield f"    its process printed: {one_line(m.printed, SAID)}"
