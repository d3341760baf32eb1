"""Metric `setup_ns`: time that `prepare` takes, once, before any call."""

from __future__ import annotations

import statistics

from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def preparation(row: Row) -> float | None:
    values = row.measurement.values("setup")
    return statistics.median(values) if values else None


METRIC = Metric(
    name="setup_ns",
    label="set-up",
    unit="ns",
    direction="lower",
    summary="Time to compile, plan or pack for the case, once; no part of the latency.",
    formula="median of the times that prepare took",
    compute=preparation,
    rank=100,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
