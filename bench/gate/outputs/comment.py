"""A gate's verdicts as a comment on a pull request: the verdict, what moved, and the rest folded away."""

from __future__ import annotations

import hashlib
import os
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from attnlab.bench.gate.outputs import Samples, words
from attnlab.bench.gate.outputs.plain import code, prose
from attnlab.bench.gate.report import GateReport
from attnlab.bench.gate.rows import GateRow, GroupRow, QuantityRow
from attnlab.bench.stats.verdict import Verdict
from attnlab.bench.text import shortened

FILE = "comment.md"
LONGEST = 60_000  # characters; GitHub refuses a comment of more than 65,536
LONGEST_VERDICT = 1_000
LONGEST_CAUSE = 400
KEPT_FOR_END = 6_000  # characters of it, for what stands below the tables
MOST_NOTES = 20  # of the report, and as many remarks on rows
MODES = "two modes"
HEADINGS = ("verdict", "benchmark", "change", "base → head", "cause")
SHA_LENGTH = 40


@dataclass(frozen=True)
class Comment:
    """GitHub's dialect. Its first line is a mark by which the comment of an earlier gate is found and replaced."""

    name: str = "comment"

    def files(self, report: GateReport, samples: Mapping[str, Samples]) -> dict[str, str]:
        return {FILE: render(report)}


def render(report: GateReport) -> str:
    """The comment as one text, of at most `LONGEST` characters however many benchmarks there are."""
    shown, folded = _sorted(report)
    head = [mark(report), f"**{prose(shortened(report.conclusion, LONGEST_VERDICT))}**", ""]
    end = list(_end(report))
    room = LONGEST - sum(len(line) + 1 for line in (*head, *end))
    table = _table(shown, room - KEPT_FOR_END if folded else room)
    room -= sum(len(line) + 1 for line in table)
    more = (
        _folded(f"{len(folded)} more: the same, or not to be had on either side", _table(folded, room - 200))
        if folded
        else []
    )
    return "\n".join([*head, *table, *more, *end]) + "\n"


def mark(report: GateReport) -> str:
    """The first line, which readers do not see: the same for each gate of one suite or of the same tests."""
    return f"<!-- attnlab-gate {hashlib.sha256(report.suite.encode()).hexdigest()[:12]} -->"


Cells = Sequence[str]


def _sorted(report: GateReport) -> tuple[list[Cells], list[Cells]]:
    """Rows that say something, what needs attention first, and those of what is the same."""
    shown: list[Cells] = [_group(group) for group in report.groups if group.verdict is not Verdict.SAME]
    folded: list[Cells] = [_group(group) for group in report.groups if group.verdict is Verdict.SAME]
    for row in words.ordered(report):
        quiet = not row.closed and row.verdict in (Verdict.SAME, None) and not words.told(row)
        into = folded if quiet else shown
        into.append(_benchmark(row))
        into += [_quantity(row, found) for found in words.told(row)]
    return shown, folded


def _group(group: GroupRow) -> Cells:
    return prose(words.verdict(group)), prose(words.group_name(group)), prose(words.change(group.first)), "", ""


def _benchmark(row: GateRow) -> Cells:
    where = f"{code(row.key)}<br>{place(row)}" if row.place else code(row.key)
    said = shortened("; ".join([*words.causes(row), *(flag for flag in row.flags if MODES in flag)]), LONGEST_CAUSE)
    return _loud(row), where, prose(words.change(row.first)), prose(words.times(row)), prose(said)


def _quantity(row: GateRow, found: QuantityRow) -> Cells:
    said = shortened("; ".join(words.quantity_remarks(found)), LONGEST_CAUSE)
    change, values = words.quantity_change(found), words.quantity_values(found)
    verdict = _loud(found) if found.gated else "reported"
    return verdict, f"{code(row.key)} {prose(found.label)}", prose(change), prose(values), prose(said)


def _loud(row: GateRow | QuantityRow) -> str:
    said = prose(words.verdict(row))
    return f"**{said}**" if row.verdict is Verdict.SLOWER or row.closed else said


def place(row: GateRow) -> str:
    """`kernels/softmax.py:12`, under GitHub Actions as a link to that line of the commit."""
    assert row.source is not None
    server, repository, commit = (os.environ.get(f"GITHUB_{n}", "") for n in ("SERVER_URL", "REPOSITORY", "SHA"))
    if not (server and repository and len(commit) == SHA_LENGTH):
        return code(row.place or "")
    line = f"#L{row.line}" if row.line else ""
    return f"[{code(row.place or '')}]({server}/{repository}/blob/{commit}/{urllib.parse.quote(row.source)}{line})"


def _table(rows: Sequence[Cells], room: int) -> list[str]:
    """As many rows as there is room for, and how many there are besides."""
    if not rows:
        return []
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    left = room - sum(len(line) + 1 for line in lines) - 200
    for number, row in enumerate(rows):
        line = f"| {' | '.join(row)} |"
        left -= len(line) + 1
        if left < 0:
            return [*lines, "", f"{len(rows) - number} more rows are in `summary.md` of the gate's folder.", ""]
        lines.append(line)
    return [*lines, ""]


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "</details>", ""]


def _end(report: GateReport) -> Iterator[str]:
    notes = [f"- {prose(shortened(note, LONGEST_CAUSE))}" for note in report.notes]
    flags = [(row.key, flag) for row in report.rows for flag in row.flags][:MOST_NOTES]
    remarks = [f"- {code(key, cell=False)}: {prose(shortened(flag, LONGEST_CAUSE))}" for key, flag in flags]
    told = [*notes[:MOST_NOTES], *remarks]
    yield from _folded(
        "How this was judged", [prose(words.subtitle(report)), "", *told, "", prose(words.rule(report)), ""]
    )
    for command in words.commands(report):
        yield f"Take it apart: {code(shortened(command, LONGEST_CAUSE), cell=False)}"
        yield ""
    yield f"Again: {code(shortened(report.command, LONGEST_VERDICT), cell=False)}"


OUTPUT = Comment()
