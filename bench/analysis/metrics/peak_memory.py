"""Metric `peak_memory_bytes`: memory that one call needs beyond its inputs and outputs."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

of = of_series("peak_memory", statistic=largest)

METRIC = Metric(
    name="peak_memory_bytes",
    label="peak memory",
    unit="B",
    direction="lower",
    summary="Most memory allocated at once during a call, inputs and outputs left out.",
    formula="high-water mark of the allocator in a call − bytes of the outputs",
    compute=of_measurement(of),
    rank=90,
    needs=("peak_memory",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
