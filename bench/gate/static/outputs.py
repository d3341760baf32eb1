"""A static gate's verdicts for people and for CI: text, Markdown, a comment, JUnit XML, GitHub's annotations."""

from __future__ import annotations

import hashlib
import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path

from attnlab.bench.errors import StoreError
from attnlab.bench.gate.outputs.comment import LONGEST
from attnlab.bench.gate.outputs.github import error_command
from attnlab.bench.gate.outputs.junit import xml_text
from attnlab.bench.gate.outputs.plain import code, prose
from attnlab.bench.gate.static.report import StaticReport, StaticRow, StaticVerdict
from attnlab.bench.store.codec import encode
from attnlab.bench.text import shortened
from attnlab.bench.text_table import paragraph, terminal_width

QUIET = (StaticVerdict.SAME, StaticVerdict.UNSERVED)
LONGEST_SAID = 400
MOST_ROWS = 200
WIDTH = 80


def lines(report: StaticReport) -> Iterator[str]:
    """For a terminal: what is not as it was, a block each; how many are; the conclusion."""
    width = min(terminal_width() or WIDTH, 120)
    yield from paragraph(subtitle(report), width, indent="")
    for row in report.rows:
        if row.verdict in QUIET:
            continue
        yield ""
        yield f"{row.verdict.value}: {row.key}"
        if row.place:
            yield f"  at {row.place}"
        for said in _parts(row):
            yield from _block(said, width)
    yield ""
    same = len(report.of(StaticVerdict.SAME))
    unserved = len(report.of(StaticVerdict.UNSERVED))
    yield f"{same} kernels are the same" + (f"; {unserved} cases are served on no side." if unserved else ".")
    for note in report.notes:
        yield from paragraph(f"Note: {note}.", width, indent="")
    yield from paragraph(report.conclusion, width, indent="")


def _block(text: str, width: int) -> Iterator[str]:
    """A remark; what a compiler says keeps its lines."""
    first, *rest = text.splitlines() or [""]
    yield from paragraph(first, width)
    yield from (f"    {line}" for line in rest)


def _parts(row: StaticRow) -> list[str]:
    broken = [rule.said if rule.gated else f"{rule.said} (reported, not gated)" for rule in row.broken]
    changes = row.changes if not row.broken else []
    let = [f"allowed by {row.allowed_by}"] if row.allowed_by else []
    return [*broken, *([row.reason] if row.reason else []), *changes, *row.causes, *let]


def subtitle(report: StaticReport) -> str:
    """What was compared, for what, how long it took."""
    work = f"{report.compiled} cases compiled" if report.compiled else "nothing had to be compiled"
    return (
        f"{report.head} against {report.base}: {report.compared} kernels of {report.suite} for "
        f"{', '.join(report.targets)}; {work}, {report.seconds:.1f} s"
    )


def markdown(report: StaticReport) -> str:
    """Short enough for a job's summary."""
    shown = [row for row in report.rows if row.verdict not in QUIET]
    rows = [f"| {_loud(row)} | {code(row.key)} | {prose(shortened(row.said, LONGEST_SAID))} |" for row in shown]
    told = [f"## {prose(report.conclusion)}", "", prose(subtitle(report)), "", *_table(rows)]
    told += [f"{prose(note)}.\n" for note in report.notes]
    return "\n".join([*told, f"Again: {code(report.command, cell=False)}", ""])


def comment(report: StaticReport) -> str:
    """A comment on a pull request; its first line is a mark, by which an earlier gate's is found and replaced."""
    digest = hashlib.sha256(f"static {report.suite}".encode()).hexdigest()[:12]
    shown = [row for row in report.rows if row.verdict not in QUIET]
    rows = [f"| {_loud(row)} | {_placed(row)} | {prose(shortened(row.said, LONGEST_SAID))} |" for row in shown]
    head = [f"<!-- attnlab-gate {digest} -->", f"**{prose(shortened(report.conclusion, 1000))}**", ""]
    end = [prose(subtitle(report)), "", *(f"{prose(note)}.\n" for note in report.notes)]
    end.append(f"Again: {code(shortened(report.command, 1000), cell=False)}")
    room = LONGEST - sum(len(line) + 1 for line in (*head, *end)) - 400
    kept = []
    for row in rows:
        room -= len(row) + 1
        if room < 0:
            break
        kept.append(row)
    more = [f"{len(rows) - len(kept)} more rows are in the gate's folder.", ""] if len(kept) < len(rows) else []
    return "\n".join([*head, *_table(kept), *more, *end]) + "\n"


def _table(rows: Sequence[str]) -> list[str]:
    return ["| verdict | kernel | figures |", "|---|---|---|", *rows[:MOST_ROWS], ""] if rows else []


def _loud(row: StaticRow) -> str:
    return f"**{row.verdict.value}**" if row.stops else row.verdict.value


def _placed(row: StaticRow) -> str:
    return f"{code(row.key)}<br>{code(row.place)}" if row.place else code(row.key)


def junit(report: StaticReport) -> str:
    """One test case a kernel: worse is a failure, what does not compile or is missing an error."""
    suite = ET.Element("testsuite", name=f"attnlab gate --static {report.suite}", timestamp=report.started)
    for row in report.rows:
        group, _, rest = row.key.partition("[")
        case = ET.SubElement(suite, "testcase", classname=group.replace("/", "."), name=f"[{rest}", time="0")
        if not row.stops and row.verdict is not StaticVerdict.UNSERVED:
            ET.SubElement(case, "system-out").text = xml_text(f"{row.verdict.value}; {row.said}".rstrip("; "))
            continue
        kind = {StaticVerdict.WORSE: "failure", StaticVerdict.UNSERVED: "skipped"}.get(row.verdict, "error")
        ET.SubElement(case, kind, message=xml_text(f"{row.verdict.value}: {row.said}"))
    for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{kind}"))))
    suite.set("tests", str(len(suite)))
    suite.set("time", f"{report.seconds:.3f}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def workflow_commands(report: StaticReport) -> Iterator[str]:
    """GitHub's `::error …` lines, at the kernels' lines."""
    for row in report.rows:
        if row.stops:
            file, _, line = (row.place or "").rpartition(":")
            yield error_command(f"{row.verdict.value}: {row.key}", row.said, file or None, line or None)


def write(folder: Path, report: StaticReport) -> list[Path]:
    """Write all formats. Raises StoreError where they cannot be written."""
    texts = {
        "static.json": json.dumps(encode(report), indent=1) + "\n",
        "summary.md": markdown(report),
        "comment.md": comment(report),
        "junit.xml": junit(report),
    }
    try:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}; take another folder with --out") from error
    return [folder / name for name in texts]


def show_on_github(report: StaticReport) -> None:
    """Annotate, and add the Markdown to the job's summary, where GitHub Actions runs this."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in workflow_commands(report):
        print(line)
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(markdown(report))
