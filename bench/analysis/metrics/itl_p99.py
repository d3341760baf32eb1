"""Metric `itl_p99_ns`: the inter-token latency that one gap in a hundred exceeds."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_samples, percentile
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import measured
from attnlab.bench.llm.generation.events import EVENTS

of = of_samples(measured.of_gaps, percentile(0.99))

METRIC = Metric(
    name="itl_p99_ns",
    label="ITL p99",
    unit="ns",
    direction="lower",
    summary="Gap between tokens that 1 % exceed: stalls; none of fewer than 500 gaps.",
    formula="99th percentile of (gap / tokens of the chunk)",
    compute=of_measurement(of),
    rank=14,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
