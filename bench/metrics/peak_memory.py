"""Metric `peak_memory_bytes`: memory that one call needs beyond its inputs and outputs."""

from __future__ import annotations

from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def high_water_mark(row: Row) -> float | None:
    return max(row.measurement.values("peak_memory"), default=None)


METRIC = Metric(
    name="peak_memory_bytes",
    label="peak memory",
    unit="B",
    direction="lower",
    summary="Most memory allocated at once during a call, inputs and outputs left out.",
    formula="high-water mark of the allocator in a call − bytes of the outputs",
    compute=high_water_mark,
    rank=90,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
