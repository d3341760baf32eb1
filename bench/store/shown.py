"""A stored run in a line, and as a table for notebooks: verdicts first, and times of what passed alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from attnlab.bench import html_table, units
from attnlab.bench.store.records import Measurement, Outcome, RunRecord
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
    return one_line(f"{where}: suite {run.suite}, {day}, {run.environment.device.told}, {results}{lost}")


def as_html(title: str, measurements: Sequence[Measurement]) -> str:
    """The line, a row for each measurement, and a line for each reason why some could not run."""
    ran = [m for m in measurements if m.outcome is not Outcome.UNAVAILABLE]
    table = html_table.table(HEADINGS, [_cells(m) for m in ran], WORDS)
    return html_table.page(
        [html_table.paragraph(title, bold=True), *([table] if ran else []), *_unavailable(measurements)]
    )


def _unavailable(measurements: Sequence[Measurement]) -> Iterator[str]:
    who: dict[str, dict[str, None]] = {}
    for m in measurements:
        if m.outcome is Outcome.UNAVAILABLE:
            who.setdefault(m.reason or "no reason is known", {})[m.implementation] = None
    for reason, names in who.items():
        yield html_table.paragraph(f"unavailable: {', '.join(names)}: {reason}")


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
