"""Metric `kl_p999`: how far predictions move where they move most."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

METRIC = Metric(
    name="kl_p999",
    label="KL 99.9 %",
    unit="nat",
    direction="lower",
    summary="What that divergence is at or below for 999 of 1,000 tokens.",
    formula="99.9th percentile over tokens of Σ p (log p − log q)",
    compute=of_measurement(of_series("kl_p999", statistic=largest)),
    rank=133,
    needs=("kl_p999",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
