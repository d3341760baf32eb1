"""What the parts of the study of generations share: answers by case, and paired ratios in words."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench import units
from attnlab.bench.reporters.model.answers import Answer
from attnlab.bench.stats.rounds import Ratio

RATIOS = (
    "Ratios are paired: the median over rounds in which both took turns on the same prompts, with its 95 % interval."
)


def by_case(found: Sequence[Answer]) -> list[list[Answer]]:
    grouped: dict[str, list[Answer]] = {}
    for answer in found:
        grouped.setdefault(answer.case.id, []).append(answer)
    return list(grouped.values())


def ratio_text(found: Ratio | None) -> str:
    if found is None:
        return units.MISSING
    if found.low is None or found.high is None:
        return units.format_ratio(found.median)
    return f"{units.format_ratio(found.median)} ({units.three_digits(found.low)} to {units.three_digits(found.high)})"
