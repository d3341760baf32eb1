"""Metric `output_tok_per_s`: tokens a second of all requests together."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_calls
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import latencies
from attnlab.bench.llm.generation.events import EVENTS

of = of_calls(latencies.output_rate)

METRIC = Metric(
    name="output_tok_per_s",
    label="output",
    unit="tok/s",
    direction="higher",
    summary="Tokens of all requests over the time from the first arrival to the last token.",
    formula="tokens / (last token − first arrival), median over calls",
    compute=of_measurement(of),
    rank=20,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
