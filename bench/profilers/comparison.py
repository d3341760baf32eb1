"""Profiles of one case side by side: which parts and figures differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench.profilers.profiles import CaseProfile
from attnlab.bench.profilers.record import KERNEL, OPERATION, ToolFigure

MOST_PARTS = 15
LEAST_SPREAD = 0.002  # of the largest: what differs less is left out


@dataclass(frozen=True)
class ComparedRow:
    """One part or figure with its value in each profile, None where it has none."""

    name: str
    unit: str
    values: tuple[float | None, ...]
    of: str = ""

    @property
    def spread(self) -> float:
        """How far its values are apart; what has none counts as nothing."""
        known = [value or 0.0 for value in self.values]
        return max(known) - min(known)


def compared_parts(cases: Sequence[CaseProfile]) -> list[ComparedRow]:
    """Kernels, or on a CPU operations, that differ most in time first; none where fewer than two have any."""
    kind = KERNEL if any(parts_of(case, KERNEL) for case in cases) else OPERATION
    found = [parts_of(case, kind) for case in cases]
    if sum(map(bool, found)) < 2:
        return []
    names = dict.fromkeys(name for parts in found for name in parts)
    rows = [ComparedRow(name, "ns", tuple(parts.get(name) for parts in found)) for name in names]
    least = LEAST_SPREAD * max((row.spread for row in rows), default=0.0)
    return sorted((row for row in rows if row.spread >= least), key=lambda row: -row.spread)[:MOST_PARTS]


def parts_of(case: CaseProfile, kind: str) -> dict[str, float]:
    """Nanoseconds of one call by name."""
    record = case.record("torch") or case.record("proton")
    return {} if record is None else {part.name: part.time_ns for part in record.kind(kind) if part.time_ns}


def compared_figures(cases: Sequence[CaseProfile]) -> list[ComparedRow]:
    """Figures that a tool gave of two profiles or more and that differ, in the tools' order."""
    keys: dict[tuple[str, str, str | None], ToolFigure] = {}
    for case in cases:
        for record in case.records:
            for figure in record.figures:
                keys.setdefault((record.tool, figure.name, figure.of), figure)
    rows = []
    for (tool, name, of), figure in keys.items():
        values = tuple(_value(case, tool, name, of) for case in cases)
        known = [value for value in values if value is not None]
        if len(known) > 1 and max(known) > min(known):
            label = name if of is None else f"{of}: {name}"
            rows.append(ComparedRow(label, figure.unit, values, of=tool))
    return rows


def _value(case: CaseProfile, tool: str, name: str, of: str | None) -> float | None:
    record = case.record(tool)
    return None if record is None else record.figure(name, of)
