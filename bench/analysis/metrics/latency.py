"""Metric `latency_ns`: the median time of one call."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import registry


def median_ns(row: Row) -> float | None:
    return row.measurement.median_ns


METRIC = Metric(
    name="latency_ns",
    label="latency",
    unit="ns",
    direction="lower",
    summary="Median time of one call by the run's main clock, without set-up.",
    formula="median of the samples",
    compute=median_ns,
    rank=10,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
