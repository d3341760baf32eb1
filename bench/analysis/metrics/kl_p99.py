"""Metric `kl_p99`: how far predictions move where they move much."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

METRIC = Metric(
    name="kl_p99",
    label="KL 99 %",
    unit="nat",
    direction="lower",
    summary="What that divergence is at or below for 99 of 100 tokens.",
    formula="99th percentile over tokens of Σ p (log p − log q)",
    compute=of_measurement(of_series("kl_p99", statistic=largest)),
    rank=132,
    needs=("kl_p99",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
