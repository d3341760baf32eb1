"""Metric `ideal_bubble`: the bubble that a pipeline has by its schedule alone."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import amount_of
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

METRIC = Metric(
    name="ideal_bubble",
    label="ideal bubble",
    unit="share",
    direction="lower",
    summary="The bubble of a pipeline whose stages all take the same time and hand on in none, of p stages and m "
    "micro-batches.",
    formula="(p − 1) / (m + p − 1)",
    compute=of_measurement(amount_of("ideal_bubble")),
    rank=41,
    needs=("ideal_bubble",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
