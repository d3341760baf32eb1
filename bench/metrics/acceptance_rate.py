"""Metric `acceptance_rate`: guesses that were right."""

from __future__ import annotations

from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def value(row: Row) -> float | None:
    drafted = sum(row.measurement.values("drafted"))
    return sum(row.measurement.values("accepted")) / drafted if drafted else None


METRIC = Metric(
    name="acceptance_rate",
    label="accepted",
    unit="share",
    direction="higher",
    summary="Guessed tokens that the model let through, of those guessed; says nothing of time.",
    formula="accepted / drafted, over all passes",
    compute=value,
    rank=21,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
