"""Metric `cpu_time_ns`: processor time of one call, summed over threads."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

of = of_series("latency", "cpu_time")

METRIC = Metric(
    name="cpu_time_ns",
    label="CPU time",
    unit="ns",
    direction="lower",
    summary="Processor time of one call, summed over its threads: two busy threads count twice.",
    formula="median of the samples of the clock cpu_time",
    compute=of_measurement(of),
    rank=110,
    needs=("latency",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
