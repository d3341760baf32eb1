"""How time and memory of each implementation grow along a family's lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.reporters.model.cases import CaseFamily
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.stats.growth import Growth, fit_growth

MIN_POINTS = 3


@dataclass(frozen=True)
class Exponent:
    """The fitted exponent of one quantity, or the word for why there is none."""

    fit: Growth | None
    points: int
    all_zero: bool

    @property
    def text(self) -> str:
        if self.fit is not None:
            return units.format_estimate(self.fit.exponent, self.fit.low, self.fit.high)
        return "0 at every length" if self.all_zero else units.MISSING


@dataclass(frozen=True)
class GrowthRow:
    """Exponents of one implementation over one family's lengths."""

    family: CaseFamily
    implementation: str
    time: Exponent
    memory: Exponent


def growths(
    families: Sequence[CaseFamily], implementations: Sequence[str], results: Sequence[Result]
) -> list[GrowthRow]:
    """A row for each swept family and implementation that was timed at enough lengths."""
    found = {(r.case.case_id, r.implementation): r for r in results if r.timed}
    rows = []
    for family in families:
        for implementation in implementations:
            members = [r for c in family.cases if (r := found.get((c.case_id, implementation)))]
            if len(members) >= MIN_POINTS:
                time, memory = _exponent(members, "latency_ns"), _exponent(members, "peak_memory_bytes")
                rows.append(GrowthRow(family, implementation, time, memory))
    return rows


def _exponent(members: Sequence[Result], metric: str) -> Exponent:
    points = [(float(r.case.length or 0), value) for r in members if (value := r.number(metric)) is not None]
    if len(points) < MIN_POINTS:
        return Exponent(None, len(points), False)
    sizes, values = zip(*points, strict=True)
    return Exponent(fit_growth(sizes, values), len(points), not any(values))
