"""Metric `first_call_ns`: time of the first call of a process, in which whatever is lazy happens."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

of = of_series("first_call")

METRIC = Metric(
    name="first_call_ns",
    label="first call",
    unit="ns",
    direction="lower",
    summary="Time of the first call on the case in its process, with all that is imported or compiled then.",
    formula="median of the times that first calls took",
    compute=of_measurement(of),
    rank=101,
    needs=("first_call",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
