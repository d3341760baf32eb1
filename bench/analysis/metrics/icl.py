"""Metric `icl_ns`: the median inter-chunk latency."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_samples
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import measured
from attnlab.bench.llm.generation.events import EVENTS

of = of_samples(measured.of_chunks)

METRIC = Metric(
    name="icl_ns",
    label="ICL",
    unit="ns",
    direction="lower",
    summary="Median gap between arrivals, however many tokens come after it: what a reader waits.",
    formula="median of (time of a chunk - time of the chunk before)",
    compute=of_measurement(of),
    rank=15,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
