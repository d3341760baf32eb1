"""What is on the page of a profile: by case, each implementation with findings and tables, and all side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.profilers.comparison import ComparedRow, compared_figures, compared_parts
from attnlab.bench.profilers.findings import findings
from attnlab.bench.profilers.findings.facts import Facts
from attnlab.bench.profilers.profiles import CaseProfile, Profile
from attnlab.bench.profilers.record import (
    FUNCTION,
    KERNEL,
    OPERATION,
    SPAN,
    CallPart,
    Listing,
    ProfileFinding,
    ToolRecord,
)
from attnlab.bench.reporters.model.plots import Plot
from attnlab.bench.reporters.model.provenance import ProvenanceRow, environment
from attnlab.bench.reporters.profile_page.differences import told_differences
from attnlab.bench.reporters.profile_page.plots import plots
from attnlab.bench.store.records import Outcome
from attnlab.bench.text import brief

KINDS = {SPAN: "Spans", KERNEL: "Kernels", OPERATION: "Operations", FUNCTION: "Functions of Python"}
MOST_ROWS = 15
MOST_WHOLE = 10_000  # counts above are rounded
BOUND = {"unknown": units.MISSING, "ceiling": units.MISSING}
OUTSIDE = "code that torch does not see"
GLANCE = ("implementation", "a call", "of the ceiling", "bound by", "takes longest for")


@dataclass(frozen=True)
class PageTable:
    """A title, heads and rows of texts; `left`: how many columns at the left are names and not numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    caption: str = ""


@dataclass(frozen=True)
class RawFile:
    """path: relative to the page."""

    path: str
    what: str


@dataclass(frozen=True)
class ToolSection:
    """One tool on one implementation."""

    tool: str
    tables: tuple[PageTable, ...]
    files: tuple[RawFile, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Profiled:
    """One implementation on one case. flags: of its times; refused: tools that found nothing, with reasons."""

    name: str
    outcome: str
    wrong: str | None
    flags: tuple[str, ...]
    findings: tuple[ProfileFinding, ...]
    tools: tuple[ToolSection, ...]
    refused: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class CaseSection:
    """All implementations on one case; glance: the table that tells them in a line each."""

    case: str
    glance: PageTable
    differences: tuple[str, ...]
    tables: tuple[PageTable, ...]
    plots: tuple[Plot, ...]
    profiled: tuple[Profiled, ...]


@dataclass(frozen=True)
class ProfilePage:
    """The whole page."""

    title: str
    subtitle: str
    command: str
    started: str
    sections: tuple[CaseSection, ...]
    environment: tuple[ProvenanceRow, ...]

    @classmethod
    def of(cls, profile: Profile) -> ProfilePage:
        cases: dict[str, list[CaseProfile]] = {}
        for case in profile.cases:
            cases.setdefault(case.measurement.case_id or case.measurement.implementation, []).append(case)
        run = profile.run
        names = ", ".join(dict.fromkeys(case.name for case in profile.cases))
        return cls(
            title=f"Profile of {run.suite}: {names}",
            subtitle=f"{run.environment.device.name}, {run.started.partition('T')[0]}",
            command=run.command,
            started=run.started,
            sections=tuple(_section(name, some, profile) for name, some in cases.items()),
            environment=tuple(environment(run)),
        )


def _section(name: str, cases: Sequence[CaseProfile], profile: Profile) -> CaseSection:
    several = [case for case in cases if case.records]
    return CaseSection(
        case=name,
        glance=_glance(cases, profile),
        differences=tuple(told_differences(cases)),
        tables=_side_by_side(several) if len(several) > 1 else (),
        plots=tuple(plots(several, profile.run.ceilings)),
        profiled=tuple(_profiled(case, profile) for case in cases),
    )


def _glance(cases: Sequence[CaseProfile], profile: Profile) -> PageTable:
    rows = []
    for case in cases:
        facts = Facts.of(case, profile.run.ceilings)
        found = findings(case, profile.run.ceilings)
        about = found[0].about if found else "unknown"
        share = units.format_share(facts.share)
        if facts.busy is not None and facts.share is not None:
            share = f"≥ {share}"
        rows.append((case.name, units.format_time(case.call_ns), share, BOUND.get(about, about), _longest(facts)))
    return PageTable("At a glance", GLANCE, tuple(rows))


def _longest(facts: Facts) -> str:
    """The kernel with most of the time in kernels; on a CPU the operation with most of a call, or what is in none."""
    record = facts.case.record("torch") or facts.case.record("proton")
    parts = record.kind(KERNEL if facts.on_gpu else OPERATION) if record is not None else ()
    times = {brief(part.name): part.time_ns or 0.0 for part in parts[:1]}
    whole = sum(part.time_ns or 0.0 for part in parts)
    if record is not None and not facts.on_gpu:
        times[OUTSIDE] = record.figure("host time outside of operations") or 0.0
        whole = max(whole, record.figure("host time of a call") or 0.0)
    name = max(times, key=lambda one: times[one], default=None)
    return units.MISSING if name is None or not times[name] else f"{name} ({units.format_share(times[name] / whole)})"


def _side_by_side(cases: Sequence[CaseProfile]) -> tuple[PageTable, ...]:
    names = tuple(case.name for case in cases)
    parts, figures = compared_parts(cases), compared_figures(cases)
    tables = []
    if parts:
        rows = tuple((row.name, *_values(row)) for row in parts)
        what = "Where the time differs most first; a dash is a part that an implementation does not have."
        tables.append(PageTable("Parts side by side", ("part", *names), rows, caption=what))
    if figures:
        rows = tuple((row.name, row.of, *_values(row)) for row in figures)
        tables.append(PageTable("Figures side by side", ("figure", "tool", *names), rows, left=2))
    return tuple(tables)


def _values(row: ComparedRow) -> tuple[str, ...]:
    return tuple(figure_text(value, row.unit) for value in row.values)


def figure_text(value: float | None, unit: str) -> str:
    """A figure of a tool; plain numbers have the unit "1"."""
    if value is None:
        return units.MISSING
    if unit == "1":
        return f"{value:.0f}" if value == round(value) and value < MOST_WHOLE else units.format_count(value)
    return units.format_value(value, unit)


def _profiled(case: CaseProfile, profile: Profile) -> Profiled:
    m = case.measurement
    outcome = "passed its check" if m.outcome is Outcome.PASSED else f"{m.outcome.value}: {m.reason}"
    if m.outcome is Outcome.PASSED and m.untimed is not None:
        outcome += f"; not timed: {m.untimed}"
    return Profiled(
        name=case.name,
        outcome=outcome,
        wrong=case.wrong,
        flags=m.flags,
        findings=tuple(findings(case, profile.run.ceilings)),
        tools=tuple(_tool(record, case.place) for record in case.records),
        refused=tuple((use.tool, use.refused) for use in case.tools if use.refused is not None),
    )


def _tool(record: ToolRecord, place: str) -> ToolSection:
    tables = [_parts(record, kind) for kind in KINDS if record.kind(kind)]
    if record.figures:
        rows = tuple(
            (figure.of or "the call", figure.name, figure_text(figure.value, figure.unit)) for figure in record.figures
        )
        tables.append(PageTable("Figures", ("of", "figure", "value"), rows, left=2))
    tables += [_listing(listing) for listing in record.listings]
    files = tuple(RawFile(f"{place}/{record.tool}/{path}", what) for path, what in record.files)
    waited = () if record.disturbed is None else (f"its calls were kept waiting: {record.disturbed}",)
    return ToolSection(record.tool, tuple(tables), files, (*waited, *record.notes))


def _listing(listing: Listing) -> PageTable:
    return PageTable(listing.title, listing.columns, listing.rows)


def _parts(record: ToolRecord, kind: str) -> PageTable:
    parts = record.kind(kind)
    whole = sum(part.time_ns or 0.0 for part in parts)
    allocates = any(part.bytes for part in parts)
    placed = any(part.source for part in parts)
    columns = ["name", "own time", "share", "with what it calls", "times a call"]
    columns += ["allocates"] * allocates + ["called from"] * placed
    rows = tuple(_part(part, whole, allocates, placed) for part in parts[:MOST_ROWS])
    more = f"{MOST_ROWS} of {len(parts)}; profile.json has all." if len(parts) > MOST_ROWS else ""
    return PageTable(KINDS[kind], tuple(columns), rows, caption=more)


def _part(part: CallPart, whole: float, allocates: bool, placed: bool) -> tuple[str, ...]:
    share = None if not part.time_ns or not whole else part.time_ns / whole
    cells = [part.name, units.format_time(part.time_ns), units.format_share(share)]
    cells += [units.format_time(part.total_ns), figure_text(part.count, "1")]
    cells += [units.format_bytes(part.bytes)] * allocates + [part.source or units.MISSING] * placed
    return tuple(cells)
