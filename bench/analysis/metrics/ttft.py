"""Metric `ttft_ns`: the median time to first token."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_requests
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import latencies
from attnlab.bench.llm.generation.events import EVENTS

of = of_requests(latencies.ttft_ns)

METRIC = Metric(
    name="ttft_ns",
    label="TTFT",
    unit="ns",
    direction="lower",
    summary="Median time from a request's arrival to its first token, over requests and calls.",
    formula="median of (first token − arrival)",
    compute=of_measurement(of),
    rank=11,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
