"""Metric `answered_per_s`: requests a second that are answered."""

from __future__ import annotations

from attnlab.bench.generation import latencies
from attnlab.bench.metric import Metric, of_measurement
from attnlab.bench.metrics._formulas import of_calls
from attnlab.bench.registry import registry

of = of_calls(latencies.answered_rate)

METRIC = Metric(
    name="answered_per_s",
    label="answered",
    unit="req/s",
    direction="higher",
    summary="Requests a second that are answered to their end: below those offered, a queue grows.",
    formula="requests with an answer / (last token − first arrival), median over calls",
    compute=of_measurement(of),
    rank=18,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
