"""What studies of generations and of servers share: results by case, and paired ratios in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attnlab.bench import units
from attnlab.bench.reporters.model.logged import Logged
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.stats.rounds import Ratio, RoundFigure, ratio

RATIOS = (
    "Ratios are paired: the median over rounds in which both took turns on the same prompts, with its 95 % interval."
)

L = TypeVar("L", bound=Logged)


def by_case(found: Sequence[L]) -> list[list[L]]:
    grouped: dict[str, list[L]] = {}
    for answer in found:
        grouped.setdefault(answer.result.case.case_id, []).append(answer)
    return list(grouped.values())


def latency_rounds(result: Result) -> list[RoundFigure]:
    """Medians of the bursts in which a result took turns."""
    timing, found = result.row.measurement.timing, []
    for launch in result.row.measurement.launches:
        for burst in launch.bursts:
            series = [s for s in burst.series if s.quantity == "latency" and timing and s.clock == timing.clock]
            values = sorted(value for s in series for value in s.values)
            if values:
                found.append(RoundFigure(burst.started_s, values[len(values) // 2]))
    return found


def time_ratio(base: Result, head: Result) -> Ratio:
    """base's latency over head's, both timed: by rounds where they took turns, else of the medians, with the worst of
    their intervals."""
    paired = ratio(latency_rounds(base), latency_rounds(head))
    if paired is not None and paired.low is not None:
        return paired
    whole, part = base.interval_ns, head.interval_ns
    low, high = (whole[0] / part[1], whole[1] / part[0]) if whole and part else (None, None)
    return Ratio((base.median_ns or 0.0) / (head.median_ns or 1.0), low, high, 1)


def ratio_text(found: Ratio | None) -> str:
    if found is None:
        return units.MISSING
    if found.low is None or found.high is None:
        return units.format_ratio(found.median)
    return f"{units.format_ratio(found.median)} ({units.three_digits(found.low)} to {units.three_digits(found.high)})"
