"""Metric `format_error`: what a cache's format loses, whoever computes."""

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
    summary="The error of attention over the cache as it is stored against the tokens as they were, both in float64: "
    "the format's own, apart from the kernel's.",
    formula="RMS(attention over decoded − attention over original) / RMS(attention over original)",
    compute=of_measurement(of),
    rank=125,
    needs=("format_error",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
