"""Metric `same_top`: how often the most likely token stays."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

METRIC = Metric(
    name="same_top",
    label="same top",
    unit="share",
    direction="higher",
    summary="Share of tokens before which both models find the same token most likely.",
    formula="tokens with argmax p = argmax q / tokens",
    compute=of_measurement(of_series("same_top", statistic=largest)),
    rank=134,
    needs=("same_top",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
