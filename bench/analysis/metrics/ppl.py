"""Metric `ppl`: how well the model predicts a text."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

METRIC = Metric(
    name="ppl",
    label="perplexity",
    unit="tokens",
    direction="lower",
    summary="How many tokens, all alike, the model chooses among on average on the case's windows, with weights "
    "and cache as they are stored, worked out in float32 whoever computes.",
    formula="exp(−mean logarithm of the right token's probability)",
    compute=of_measurement(of_series("ppl", statistic=largest)),
    rank=128,
    needs=("ppl",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
