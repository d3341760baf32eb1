"""A stored run in a line, and as a table for notebooks: verdicts first, and times of what passed alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attnlab.bench import html_table, units
from attnlab.bench.store.records import Measurement, RunRecord
from attnlab.bench.text import count, one_line

HEADINGS = ("verdict", "operator", "case", "implementation", "latency", "95 % interval", "reason")
WORDS = (0, 1, 2, 3, 6)


def in_a_line(where: str, run: RunRecord, measurements: Sequence[Measurement], damages: int) -> str:
    """`results/x: suite quick, 2026-11-22, 41 results: 40 passed, 1 unavailable`."""
    outcomes = Counter(m.outcome.value.replace("_", " ") for m in measurements)
    found = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
    lost = f", {count(damages, 'damaged line')}" if damages else ""
    day = run.started.partition("T")[0]
    results = f"{count(len(measurements), 'result')}{f': {found}' if found else ''}"
    return one_line(f"{where}: suite {run.suite}, {day}, {run.environment.device.name}, {results}{lost}")


def as_html(title: str, measurements: Sequence[Measurement]) -> str:
    """The line, and a row for each measurement."""
    table = html_table.table(HEADINGS, [_cells(m) for m in measurements], WORDS)
    return html_table.page([html_table.paragraph(title, bold=True), *([table] if measurements else [])])


def _cells(m: Measurement) -> list[str]:
    return [
        m.outcome.value.replace("_", " "),
        m.operator,
        m.case_id,
        m.implementation,
        units.format_time(m.median_ns),
        units.format_interval(m.ci_low_ns, m.ci_high_ns, "ns"),
        m.reason or m.untimed or "",
    ]
