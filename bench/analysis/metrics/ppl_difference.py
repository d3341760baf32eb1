"""Metric `ppl_difference`: what is lost of how well the model predicts a text."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

METRIC = Metric(
    name="ppl_difference",
    label="Δ perplexity",
    unit="tokens",
    direction="lower",
    summary="The perplexity less that of the model with nothing quantised on the same tokens; the report has its "
    "interval, from paired blocks of 64 tokens.",
    formula="exp(−mean log p) − exp(−mean log p of the unquantised model)",
    compute=of_measurement(of_series("ppl_difference", statistic=largest)),
    rank=129,
    needs=("ppl_difference",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
