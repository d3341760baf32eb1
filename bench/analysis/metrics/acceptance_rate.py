"""Metric `acceptance_rate`: guesses that were right."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.store.records import Measurement


def of(measurement: Measurement) -> float | None:
    drafted = sum(measurement.values("drafted"))
    return sum(measurement.values("accepted")) / drafted if drafted else None


METRIC = Metric(
    name="acceptance_rate",
    label="accepted",
    unit="share",
    direction="higher",
    summary="Guessed tokens that the model let through, of those guessed; says nothing of time.",
    formula="accepted / drafted, over all passes",
    compute=of_measurement(of),
    rank=24,
    needs=("drafted",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
