"""Annotations and a job summary for GitHub Actions: failures only are annotated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from attnlab.bench.gate.outputs import words
from attnlab.bench.gate.outputs.markdown import render
from attnlab.bench.gate.report import GateReport
from attnlab.bench.gate.rows import GateRow, VerdictRow
from attnlab.bench.stats.verdict import Verdict


def annotate(report: GateReport) -> None:
    """Print one workflow command for each benchmark or group that got worse, and for each that closes the gate."""
    for line in workflow_commands(report):
        print(line)


def workflow_commands(report: GateReport) -> Iterator[str]:
    """`::error title=…::…` lines."""
    if report.against_itself:
        return
    for row in report.rows:
        worse = [found for found in row.judged if found.verdict is Verdict.SLOWER]
        if worse:
            yield _error(f"{words.verdict(worse[0])}: {worse[0].title}", "; ".join(map(_said, worse)), row)
    for group in report.groups:
        if group.verdict is Verdict.SLOWER:
            yield _error(f"slower: {words.group_name(group)}", words.change(group.first))
    for row in report.rows:
        for found in row.judged:
            if found.closed:
                said = words.explanation(found) if isinstance(found, GateRow) else words.quantity(found)
                yield _error(f"{found.closing}: {found.title}", said or found.closing, row)


def _said(found: VerdictRow) -> str:
    if isinstance(found, GateRow):
        return "; ".join(filter(None, (words.change(found.first), words.explanation(found))))
    return words.quantity(found)


def summarise(report: GateReport) -> None:
    """Append the Markdown summary to the job's, where the runner names a file for it."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(render(report))


def _error(title: str, message: str, row: GateRow | None = None) -> str:
    """At the file and line of what is timed, where that is the repository's."""
    line = str(row.line) if row is not None and row.line else None
    return error_command(title, message, row.source if row is not None else None, line)


def error_command(title: str, message: str, file: str | None = None, line: str | None = None) -> str:
    """`::error file=…,line=…,title=…::…`."""
    place = "" if file is None else f"file={_escaped(file, title=True)},"
    place += f"line={line}," if place and line else ""
    return f"::error {place}title={_escaped(title, title=True)}::{_escaped(message)}"


def _escaped(text: str, title: bool = False) -> str:
    """As the runner reads it: percent and line ends as codes, in a title also commas and colons."""
    out = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return out.replace(":", "%3A").replace(",", "%2C") if title else out
