"""Metric `icl_max_ns`: the longest inter-chunk latency of all, the largest stall."""

from __future__ import annotations

from attnlab.bench.generation import latencies, measured
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def value(row: Row) -> float | None:
    return max(measured.of_calls(row.measurement, latencies.largest_stall_ns), default=None)


METRIC = Metric(
    name="icl_max_ns",
    label="largest stall",
    unit="ns",
    direction="lower",
    summary="The longest gap between two arrivals of one request, in any call: a stall is not shared among its tokens.",
    formula="largest of (time of a chunk - time of the chunk before)",
    compute=value,
    rank=16,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
