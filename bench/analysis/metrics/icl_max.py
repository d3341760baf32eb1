"""Metric `icl_max_ns`: the longest inter-chunk latency of all, the largest stall."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_calls
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import latencies
from attnlab.bench.llm.generation.events import EVENTS

of = of_calls(latencies.largest_stall_ns, largest)

METRIC = Metric(
    name="icl_max_ns",
    label="largest stall",
    unit="ns",
    direction="lower",
    summary="The longest gap between two arrivals of one request, in any call: a stall is not shared among its tokens.",
    formula="largest of (time of a chunk - time of the chunk before)",
    compute=of_measurement(of),
    rank=16,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
