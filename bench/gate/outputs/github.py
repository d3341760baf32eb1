"""Annotations and a job summary for GitHub Actions: failures only are annotated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from attnlab.bench.gate.outputs import words
from attnlab.bench.gate.outputs.markdown import render
from attnlab.bench.gate.records import GateReport, GateRow


def annotate(report: GateReport) -> None:
    """Print one workflow command for each regression and each benchmark that closes the gate."""
    for line in workflow_commands(report):
        print(line)


def workflow_commands(report: GateReport) -> Iterator[str]:
    """`::error title=…::…` lines."""
    if report.against_itself:
        return
    for found in report.regressions:
        key = found.key if isinstance(found, GateRow) else words.group_name(found)
        remarks = words.explanation(found) if isinstance(found, GateRow) else ""
        yield _error(f"slower: {key}", "; ".join(filter(None, (words.change(found.first), remarks))))
    for row in report.closed:
        yield _error(f"{row.closing}: {row.key}", words.explanation(row) or row.closing)


def summarise(report: GateReport) -> None:
    """Append the Markdown summary to the job's, where the runner names a file for it."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(render(report))


def _error(title: str, message: str) -> str:
    return f"::error title={_escaped(title, title=True)}::{_escaped(message)}"


def _escaped(text: str, title: bool = False) -> str:
    """As the runner reads it: percent and line ends as codes, in a title also commas and colons."""
    out = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return out.replace(":", "%3A").replace(",", "%2C") if title else out
