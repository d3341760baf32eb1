"""Metric `kl_mean`: how far predictions move."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

METRIC = Metric(
    name="kl_mean",
    label="KL mean",
    unit="nat",
    direction="lower",
    summary="Mean Kullback-Leibler divergence of the next token's distribution from that of the model with "
    "nothing quantised.",
    formula="mean over tokens of Σ p (log p − log q), q with weights and cache as they are stored",
    compute=of_measurement(of_series("kl_mean", statistic=largest)),
    rank=131,
    needs=("kl_mean",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
