"""Metric `weight_bits`: bits of the weights of a model or a layer for each of them, all told."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

METRIC = Metric(
    name="weight_bits",
    label="weights",
    unit="bit",
    direction="lower",
    summary="Bits for each weight that a pass reads, in layers and head, or of one linear layer, with every scale, "
    "minimum and index.",
    formula="8 · bytes of the weights that a pass reads / their number",
    compute=of_measurement(of_series("weight_bits", statistic=largest)),
    rank=136,
    needs=("weight_bits",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
