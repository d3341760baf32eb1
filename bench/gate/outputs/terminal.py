"""A gate's verdicts on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench import units
from attnlab.bench.gate.outputs import words
from attnlab.bench.gate.report import GateReport
from attnlab.bench.text_table import columns, fitted, paragraph, terminal_width, width_of


def show(report: GateReport) -> None:
    """Print the verdicts, what needs attention first."""
    print("\n".join(lines(report, terminal_width())))


def lines(report: GateReport, width: int | None = None) -> Iterator[str]:
    """The verdicts as columns, the remarks on each below it, in lines of at most `width` characters."""
    yield from paragraph(words.subtitle(report), width, indent="")
    yield ""
    cells = [(words.verdict(g), words.group_name(g), words.change(g.first), "") for g in report.groups]
    remarks: list[list[str]] = [[] for _ in report.groups]
    for row in words.ordered(report):
        cells.append((words.verdict(row), row.key, words.change(row.first), words.times(row)))
        remarks.append([*filter(None, [words.explanation(row)]), *map(words.quantity, words.told(row))])
    headings = ("verdict", "benchmark", "change", "base → head")
    for line, remark in zip(_rows(headings, cells, width), [[], *remarks], strict=True):
        yield from line
        for text in remark:
            yield from paragraph(text, width, indent="    ")
    for note in report.notes:
        yield from paragraph(f"Note: {note}.", width, indent="")
    for command in words.commands(report):
        yield f"Take it apart: {command}"  # in one line, as a shell takes it
    yield from _achieved(report, width)
    yield ""
    yield from paragraph(words.rule(report), width, indent="")
    yield from paragraph(report.conclusion, width, indent="")


def _rows(headings: Sequence[str], cells: Sequence[Sequence[str]], width: int | None) -> list[list[str]]:
    """The lines of the headings and of each row: one, or one a cell where a line would be too long."""
    whole = list(columns([headings, *cells]))
    if width is None or max(map(width_of, whole)) <= width:
        return [[line] for line in whole]
    return [[], *(list(fitted([headings, row], (), 0)) for row in cells)]


def _achieved(report: GateReport, width: int | None) -> Iterator[str]:
    if not report.achieved:
        return
    yield ""
    told = "What this gate can do here, by its own decisions replayed on these pairs:"
    yield from paragraph(told, width, indent="")
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
    for line in _rows(headings, cells, width):
        yield from line
