"""Metric `prefill_tok_per_s`: prompt tokens a second until the first token."""

from __future__ import annotations

from attnlab.bench.generation import latencies, measured
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def value(row: Row) -> float | None:
    return measured.median(measured.of_requests(row.measurement, latencies.prefill_rate))


METRIC = Metric(
    name="prefill_tok_per_s",
    label="prefill",
    unit="tok/s",
    direction="higher",
    summary="Prompt tokens over time to first token, queueing included.",
    formula="prompt tokens / TTFT, median over requests",
    compute=value,
    rank=19,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
