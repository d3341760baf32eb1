"""What studies of generations and of servers share: results by case, and paired ratios in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from attnlab.bench import units
from attnlab.bench.reporters.model.logged import Logged
from attnlab.bench.stats.rounds import Ratio

RATIOS = (
    "Ratios are paired: the median over rounds in which both took turns on the same prompts, with its 95 % interval."
)

L = TypeVar("L", bound=Logged)


def by_case(found: Sequence[L]) -> list[list[L]]:
    grouped: dict[str, list[L]] = {}
    for answer in found:
        grouped.setdefault(answer.result.case.case_id, []).append(answer)
    return list(grouped.values())


def ratio_text(found: Ratio | None) -> str:
    if found is None:
        return units.MISSING
    if found.low is None or found.high is None:
        return units.format_ratio(found.median)
    return f"{units.format_ratio(found.median)} ({units.three_digits(found.low)} to {units.three_digits(found.high)})"
