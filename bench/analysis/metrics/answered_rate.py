"""Metric `answered_per_s`: requests a second that are answered."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_calls
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import latencies
from attnlab.bench.llm.generation.events import EVENTS

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
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
