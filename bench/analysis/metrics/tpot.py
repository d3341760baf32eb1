"""Metric `tpot_ns`: the median time per output token."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_requests
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import latencies
from attnlab.bench.llm.generation.events import EVENTS

of = of_requests(latencies.tpot_ns)

METRIC = Metric(
    name="tpot_ns",
    label="TPOT",
    unit="ns",
    direction="lower",
    summary="Median over requests of the mean time of a token after the first chunk.",
    formula="median of ((last − first chunk) / (tokens − those of the first chunk))",
    compute=of_measurement(of),
    rank=19,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
