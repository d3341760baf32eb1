"""Metric `setup_ns`: time that `prepare` takes, once, before any call."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

of = of_series("setup")

METRIC = Metric(
    name="setup_ns",
    label="set-up",
    unit="ns",
    direction="lower",
    summary="Time to compile, plan or pack for the case, once; no part of the latency.",
    formula="median of the times that prepare took",
    compute=of_measurement(of),
    rank=100,
    needs=("setup",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
