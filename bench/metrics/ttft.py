"""Metric `ttft_ns`: the median time to first token."""

from __future__ import annotations

from attnlab.bench.generation import latencies, measured
from attnlab.bench.metrics import Metric, of_measurement
from attnlab.bench.registry import registry
from attnlab.bench.store.records import Measurement


def of(measurement: Measurement) -> float | None:
    return measured.median(measured.of_requests(measurement, latencies.ttft_ns))


METRIC = Metric(
    name="ttft_ns",
    label="TTFT",
    unit="ns",
    direction="lower",
    summary="Median time from a request's arrival to its first token, over requests and calls.",
    formula="median of (first token − arrival)",
    compute=of_measurement(of),
    rank=11,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
