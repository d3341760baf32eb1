"""Metric `cpu_time_ns`: processor time of one call, summed over threads."""

from __future__ import annotations

import statistics

from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def processor_time(row: Row) -> float | None:
    values = row.measurement.values("latency", "cpu_time")
    return statistics.median(values) if values else None


METRIC = Metric(
    name="cpu_time_ns",
    label="CPU time",
    unit="ns",
    direction="lower",
    summary="Processor time of one call, summed over its threads: two busy threads count twice.",
    formula="median of the samples of the clock cpu_time",
    compute=processor_time,
    rank=110,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
