"""Metric `client_lag_p99_ns`: by how much the client was late."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_samples
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation.served import LAG, lags_of, p99

of = of_samples(lags_of, p99)

METRIC = Metric(
    name="client_lag_p99_ns",
    label="client lag p99",
    unit="ns",
    direction="lower",
    summary="By how much the client sent requests later than due, at the 99th percentile (the largest of fewer).",
    formula="99th percentile of (sent − due − waiting for a connection)",
    compute=of_measurement(of),
    rank=28,
    needs=(LAG,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
