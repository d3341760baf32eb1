"""Metric `ttft_p95_ns`: the time to first token that one request in twenty exceeds."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_requests, percentile
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import latencies
from attnlab.bench.llm.generation.events import EVENTS

of = of_requests(latencies.ttft_ns, percentile(0.95))

METRIC = Metric(
    name="ttft_p95_ns",
    label="TTFT p95",
    unit="ns",
    direction="lower",
    summary="Time to first token that 5 % of requests exceed; none of fewer than 100 requests.",
    formula="95th percentile of (first token − arrival)",
    compute=of_measurement(of),
    rank=12,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
