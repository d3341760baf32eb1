"""Metric `rms_probability_change`: how far the right token's probability moves."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

METRIC = Metric(
    name="rms_probability_change",
    label="RMS Δp",
    unit="share",
    direction="lower",
    summary="Root mean square of how much the right token's probability changes.",
    formula="√(mean (q(token) − p(token))²)",
    compute=of_measurement(of_series("rms_probability_change", statistic=largest)),
    rank=135,
    needs=("rms_probability_change",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
