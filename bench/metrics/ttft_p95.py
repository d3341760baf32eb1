"""Metric `ttft_p95_ns`: the time to first token that one request in twenty exceeds."""

from __future__ import annotations

from attnlab.bench.generation import latencies, measured
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def value(row: Row) -> float | None:
    return latencies.percentile(measured.of_requests(row.measurement, latencies.ttft_ns), 0.95)


METRIC = Metric(
    name="ttft_p95_ns",
    label="TTFT p95",
    unit="ns",
    direction="lower",
    summary="Time to first token that 5 % of requests exceed; none of fewer than 100 requests.",
    formula="95th percentile of (first token − arrival)",
    compute=value,
    rank=12,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
