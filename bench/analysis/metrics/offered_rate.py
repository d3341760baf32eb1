"""Metric `offered_per_s`: requests a second that come."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_calls
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import latencies
from attnlab.bench.llm.generation.events import EVENTS

of = of_calls(latencies.offered_rate)

METRIC = Metric(
    name="offered_per_s",
    label="offered",
    unit="req/s",
    direction="neither",
    summary="Requests a second that come, of a case whose requests do not all come at once.",
    formula="(requests − 1) / (last arrival − first arrival), median over calls",
    compute=of_measurement(of),
    rank=17,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
