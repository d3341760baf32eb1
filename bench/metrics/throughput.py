"""Metric `tflop_per_s`: the operations of a case over its time."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def teraflop_per_second(row: Row) -> float | None:
    m = row.measurement
    if not m.operations or not m.median_ns:
        return None
    return units.per_second(m.operations, m.median_ns) / units.TERA


METRIC = Metric(
    name="tflop_per_s",
    label="rate",
    unit="TFLOP/s",
    direction="higher",
    summary="The operations that the case asks for, none masked, over the time; a multiply-add is two.",
    formula="operations / median",
    compute=teraflop_per_second,
    rank=40,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
