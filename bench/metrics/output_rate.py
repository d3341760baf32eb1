"""Metric `output_tok_per_s`: tokens a second of all requests together."""

from __future__ import annotations

from attnlab.bench.generation import latencies, measured
from attnlab.bench.metrics import Metric, of_measurement
from attnlab.bench.registry import registry
from attnlab.bench.store.records import Measurement


def of(measurement: Measurement) -> float | None:
    return measured.median(measured.of_calls(measurement, latencies.output_rate))


METRIC = Metric(
    name="output_tok_per_s",
    label="output",
    unit="tok/s",
    direction="higher",
    summary="Tokens of all requests over the time from the first arrival to the last token.",
    formula="tokens / (last token − first arrival), median over calls",
    compute=of_measurement(of),
    rank=18,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
