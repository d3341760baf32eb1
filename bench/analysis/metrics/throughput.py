"""Metric `tflop_per_s`: the operations of a case over its time."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.analysis.metrics._formulas import per_second
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

of = per_second(lambda m: m.operations, units.TERA)

METRIC = Metric(
    name="tflop_per_s",
    label="rate",
    unit="TFLOP/s",
    direction="higher",
    summary="The operations that the case asks for, none masked, over the time; a multiply-add is two.",
    formula="operations / median",
    compute=of_measurement(of),
    rank=40,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
