"""Metric `itl_ns`: the median inter-token latency."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_samples
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import measured
from attnlab.bench.llm.generation.events import EVENTS

of = of_samples(measured.of_gaps)

METRIC = Metric(
    name="itl_ns",
    label="ITL",
    unit="ns",
    direction="lower",
    summary="Median gap between tokens; a chunk of k tokens after a gap is k samples of a k-th of it.",
    formula="median of (gap / tokens of the chunk)",
    compute=of_measurement(of),
    rank=13,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
