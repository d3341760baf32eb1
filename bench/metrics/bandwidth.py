"""Metric `gb_per_s`: the least bytes of a case over its time."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def gigabytes_per_second(row: Row) -> float | None:
    m = row.measurement
    if not m.bytes_moved or not m.median_ns:
        return None
    return units.per_second(m.bytes_moved, m.median_ns) / units.GB


METRIC = Metric(
    name="gb_per_s",
    label="bandwidth",
    unit="GB/s",
    direction="higher",
    summary="The least bytes that the case must move, not those moved, over the time; 1 GB is 10⁹ bytes.",
    formula="bytes moved / median",
    compute=gigabytes_per_second,
    rank=30,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
