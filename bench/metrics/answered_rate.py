"""Metric `answered_per_s`: requests a second that are answered."""

from __future__ import annotations

from attnlab.bench.generation import latencies, measured
from attnlab.bench.metrics import Metric, of_measurement
from attnlab.bench.registry import registry
from attnlab.bench.store.records import Measurement


def of(measurement: Measurement) -> float | None:
    return measured.median(measured.of_calls(measurement, latencies.answered_rate))


METRIC = Metric(
    name="answered_per_s",
    label="answered",
    unit="req/s",
    direction="higher",
    summary="Requests a second that are answered to their end: below those offered, a queue grows.",
    formula="requests with an answer / (last token − first arrival), median over calls",
    compute=of_measurement(of),
    rank=17,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
