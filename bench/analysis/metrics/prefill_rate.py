"""Metric `prefill_tok_per_s`: prompt tokens a second until the first token."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_requests
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import latencies
from attnlab.bench.llm.generation.events import EVENTS

of = of_requests(latencies.prefill_rate)

METRIC = Metric(
    name="prefill_tok_per_s",
    label="prefill",
    unit="tok/s",
    direction="higher",
    summary="Prompt tokens over time to first token, queueing included.",
    formula="prompt tokens / TTFT, median over requests",
    compute=of_measurement(of),
    rank=22,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
