"""A gate's verdicts in Markdown, short enough for a job's summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.gate.outputs import Samples, words
from attnlab.bench.gate.outputs.plain import code
from attnlab.bench.gate.report import GateReport
from attnlab.bench.reporters.markdown import text


@dataclass(frozen=True)
class MarkdownOutput:
    """GitHub's dialect."""

    name: str = "markdown"

    def files(self, report: GateReport, samples: Mapping[str, Samples]) -> dict[str, str]:
        return {"summary.md": render(report)}


def render(report: GateReport) -> str:
    """The summary as one text."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: GateReport) -> Iterator[str]:
    yield f"## {text(report.conclusion)}"
    yield ""
    yield text(words.subtitle(report))
    yield ""
    yield from _table(["verdict", "benchmark", "change", "base → head", "remarks"], _rows(report))
    if report.achieved:
        yield ""
        yield "### What this gate can do here"
        yield ""
        headings = ["benchmark", "pairs", "scatter of a pair", "false alarms", "at most", "least slowdown detected"]
        yield from _table(headings, _achieved(report))
    for note in report.notes:
        yield ""
        yield text(note)
    for command in words.commands(report):
        yield ""
        yield f"Take it apart: {code(command, cell=False)}"
    yield ""
    yield text(words.rule(report))
    yield ""
    yield f"Again: {code(report.command, cell=False)}"


def _rows(report: GateReport) -> Iterator[Sequence[str]]:
    for group in report.groups:
        yield [text(words.verdict(group)), text(words.group_name(group)), text(words.change(group.first)), "", ""]
    for row in words.ordered(report):
        yield [
            f"**{text(words.verdict(row))}**" if row in report.regressions else text(words.verdict(row)),
            code(row.key),
            text(words.change(row.first)),
            text(words.times(row)),
            text(words.explanation(row)),
        ]
        for found in words.told(row):
            said = text(words.verdict(found)) if found.gated else "reported"
            yield [
                f"**{said}**" if found in report.regressions else said,
                f"{code(row.key)} {text(found.label)}",
                text(words.quantity_change(found)),
                text(words.quantity_values(found)),
                text("; ".join(words.quantity_remarks(found))),
            ]


def _achieved(report: GateReport) -> Iterator[Sequence[str]]:
    for found in report.achieved:
        yield [
            code(found.key),
            str(found.pairs),
            words.scatter(found),
            f"{found.alarms} of {found.decisions} replayed",
            units.format_share(found.alarm_bound),
            text(words.detectable(found)),
        ]


def _table(headings: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


OUTPUT = MarkdownOutput()
