"""Metric `setup_ns`: time that `prepare` takes, once, before any call."""

from __future__ import annotations

import statistics

from attnlab.bench.metrics import Metric, of_measurement
from attnlab.bench.registry import registry
from attnlab.bench.store.records import Measurement


def of(measurement: Measurement) -> float | None:
    values = measurement.values("setup")
    return statistics.median(values) if values else None


METRIC = Metric(
    name="setup_ns",
    label="set-up",
    unit="ns",
    direction="lower",
    summary="Time to compile, plan or pack for the case, once; no part of the latency.",
    formula="median of the times that prepare took",
    compute=of_measurement(of),
    rank=100,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
