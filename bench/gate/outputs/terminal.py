"""A gate's verdicts on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from attnlab.bench import units
from attnlab.bench.gate.outputs import words
from attnlab.bench.gate.report import GateReport
from attnlab.bench.text_table import columns


def show(report: GateReport) -> None:
    """Print the verdicts, what needs attention first."""
    print("\n".join(lines(report)))


def lines(report: GateReport) -> Iterator[str]:
    """The verdicts as columns, the remarks on each below it."""
    yield words.subtitle(report)
    yield ""
    cells = [(words.verdict(g), words.group_name(g), words.change(g.first), "") for g in report.groups]
    remarks: list[list[str]] = [[] for _ in report.groups]
    for row in words.ordered(report):
        cells.append((words.verdict(row), row.key, words.change(row.first), words.times(row)))
        remarks.append([*filter(None, [words.explanation(row)]), *map(words.quantity, words.told(row))])
    headings = ("verdict", "benchmark", "change", "base → head")
    for line, remark in zip(columns([headings, *cells]), [[], *remarks], strict=True):
        yield line
        yield from (f"    {text}" for text in remark)
    for note in report.notes:
        yield f"Note: {note}."
    for command in words.commands(report):
        yield f"Take it apart: {command}"
    yield from _achieved(report)
    yield ""
    yield words.rule(report)
    yield report.conclusion


def _achieved(report: GateReport) -> Iterator[str]:
    if not report.achieved:
        return
    yield ""
    yield "What this gate can do here, by its own decisions replayed on these pairs:"
    headings = ("benchmark", "pairs", "scatter of a pair", "false alarms", "at most", "least slowdown detected")
    cells = [
        (
            found.key,
            str(found.pairs),
            words.scatter(found),
            f"{found.alarms} of {found.decisions}",
            units.format_share(found.alarm_bound),
            words.detectable(found),
        )
        for found in report.achieved
    ]
    yield from columns([headings, *cells])
