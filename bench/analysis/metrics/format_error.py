"""Metric `format_error`: what the format of a cache or of a weight loses, whoever computes."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

of = of_series("format_error", statistic=largest)

METRIC = Metric(
    name="format_error",
    label="format error",
    unit="share",
    direction="lower",
    summary="The error of attention over the cache as it is stored against the tokens as they were, or of a linear "
    "layer's output with its weight as stored against the original, both in float64: the format's own, apart from the "
    "kernel's.",
    formula="RMS(output with what is stored − output with the original) / RMS(output with the original)",
    compute=of_measurement(of),
    rank=125,
    needs=("format_error",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
