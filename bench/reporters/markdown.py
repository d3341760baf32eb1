"""Markdown: the same words with compact tables, short enough for a job summary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attnlab.bench import units
from attnlab.bench.reporters.model.folds import Fold
from attnlab.bench.reporters.model.growths import GrowthRow
from attnlab.bench.reporters.model.outcomes import ABSENT
from attnlab.bench.reporters.model.picks import Pick
from attnlab.bench.reporters.model.report import Report, RunFacts, Section
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.reporters.model.studies import Study
from attnlab.bench.reporters.model.words import Sentence
from attnlab.bench.store.records import Outcome

PLAIN = re.compile(r"[A-Za-z0-9 _.,+:;=@/()\[\]-]+")


@dataclass(frozen=True)
class Markdown:
    """GitHub's dialect; the full table is in the other formats."""

    name: str = "markdown"
    suffix: str = ".md"

    def write(self, report: Report, folder: Path) -> list[Path]:
        path = folder / f"summary{self.suffix}"
        path.write_text("\n".join(render(report)) + "\n", encoding="utf-8")
        return [path]


def render(report: Report) -> Iterator[str]:
    """The lines of the summary."""
    yield f"# {text(report.title)}"
    yield ""
    yield text(report.subtitle)
    for section in report.sections:
        if len(report.sections) > 1:
            yield ""
            yield f"## {text(section.operator)} on {text(section.device)}, run {text(section.run_id)}"
        yield from _section(section)
    for run in report.runs:
        yield from _provenance(run)


def _section(section: Section) -> Iterator[str]:
    found = section.findings
    yield ""
    yield f"**{words(found.verdict)}**"
    yield ""
    yield " ".join(map(words, found.sentences))
    for wrong in found.wrong:
        yield ""
        yield f"> **WRONG RESULT:** {words(wrong)}"
    if found.folds:
        yield from _folds(found.folds)
    if section.shared:
        yield ""
        yield f"Cases are named by what differs; {text(section.shared)}."
    if section.note:
        yield ""
        yield text(section.note)
    if section.picks:
        yield from _picks(section.picks)
    for study in section.studies:
        yield from _study(study)
    yield from _results(section)
    if section.growths:
        yield from _growths(section.growths, section.length_axis or "length")


def _folds(folds: Sequence[Fold]) -> Iterator[str]:
    """One line a reason; with its cases, folded away, where there are any."""
    yield ""
    yield f"<details><summary>What has no time, and warnings ({len(folds)})</summary>"
    yield ""
    for fold in folds:
        who = f" ({', '.join(map(name, fold.implementations))})" if fold.implementations else ""
        yield f"- {words(fold.words)}{who}"
        yield from (f"  - {words(member.words)}" for member in fold.members)
    yield ""
    yield "</details>"


def _study(study: Study) -> Iterator[str]:
    yield ""
    yield f"### {text(study.title)}"
    for found in study.sentences:
        yield ""
        yield words(found)
    for table in study.tables:
        rows = [[name(row[0]), *map(text, row[1:])] for row in table.rows]
        yield from _table(table.title, [text(heading) for heading in table.headings], rows)
        yield ""
        yield text(table.caption)


def _picks(picks: Sequence[Pick]) -> Iterator[str]:
    rows = [
        [
            name(p.case.label),
            f"**{name(p.best.implementation)}**" if p.told_apart else ", ".join(map(name, p.names)),
            units.format_ratio(p.lead) if not p.level else "not told apart",
            p.best.share("share_of_ceiling"),
            text(str(p.best.figures.get("bound") or units.MISSING)),
        ]
        for p in picks
    ]
    headings = ["case", "use", "over the next", "of measured ceiling", "bound by"]
    yield from _table("Which to use", headings, rows)


def _results(section: Section) -> Iterator[str]:
    """A line for each case, a column for each implementation that ran: its time, or what came of it."""
    ran = {r.implementation for r in section.results if r.outcome is not Outcome.UNAVAILABLE}
    shown = [name for name in section.implementations if name in ran]
    found = {(r.case.case_id, r.implementation): r for r in section.results}
    best = {(p.case.case_id, p.best.implementation) for p in section.picks if p.told_apart}
    rows = [
        [name(c.label), *(_cell(found.get((c.case_id, i)), (c.case_id, i) in best) for i in shown)]
        for c in section.cases
    ]
    over = f" (speed-up over {name(section.baseline)})" if section.baseline else ""
    yield from _table(f"Latency{over}", ["case", *map(name, shown)], rows)


def _cell(result: Result | None, best: bool) -> str:
    if result is None:
        return ABSENT
    if result.outcome.may_have_speed and result.row.measurement.paced is not None:
        return _served(result)
    if not result.timed:
        return f"**{text(result.outcome_text)}**" if result.wrong else text(result.outcome_text)
    speedup = result.number("speedup")
    shown = units.format_time(result.median_ns)
    shown = f"**{shown}**" if best else shown
    shown = shown if result.passed else f"{shown} ({text(result.outcome_text)})"
    return shown if speedup is None else f"{shown} ({units.format_ratio(speedup)})"


def _served(result: Result) -> str:
    """Of a case that is paced by its arrivals, whose calls have no latency."""
    rates = [units.format_number(result.number(name)) for name in ("answered_per_s", "offered_per_s", "goodput_per_s")]
    first, gap = (units.format_time(result.number(name)) for name in ("ttft_ns", "itl_ns"))
    served = f"TTFT {first}, ITL {gap}; {rates[0]} of {rates[1]} requests/s, {rates[2]} of them good"
    return served if result.passed else f"{served} ({text(result.outcome_text)})"


def _growths(growths: Sequence[GrowthRow], axis: str) -> Iterator[str]:
    rows = [[name(g.family.label), name(g.implementation), g.time.text, g.memory.text] for g in growths]
    yield from _table(f"Growth with {text(axis)}", ["family", "implementation", "time", "memory"], rows)


def _provenance(run: RunFacts) -> Iterator[str]:
    yield ""
    yield f"### How to take these figures again: {text(run.run_id)}"
    yield ""
    for fact in (*run.provenance, *run.environment):
        yield f"- {text(fact.label)}: {name(fact.text) if fact.is_code else text(fact.text)}"


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield f"### {title}"
    yield ""
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def words(pieces: Sentence) -> str:
    return "".join(name(piece.text) if piece.is_name else text(piece.text) for piece in pieces)


def name(raw: str) -> str:
    """A name as code where it is made of harmless characters, else escaped text."""
    return f"`{raw}`" if PLAIN.fullmatch(raw) else text(raw)


def text(raw: str) -> str:
    """Nothing in it is markup, and it stays on one line of one cell."""
    escaped = re.sub(r"\s+", " ", raw).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", escaped)
    return re.sub(r"@(?=\w)", "@<!-- -->", escaped).replace("$", "&#36;")  # nobody is called, and no formula begins


REPORTER = Markdown()
