"""Metric `kv_cache_bytes`: bytes of the key-value cache."""

from __future__ import annotations

from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def value(row: Row) -> float | None:
    return max(row.measurement.values("cache"), default=None)


METRIC = Metric(
    name="kv_cache_bytes",
    label="KV cache",
    unit="B",
    direction="lower",
    summary="Bytes of the key-value cache that was set up, of all layers, used or not.",
    formula="bytes of all planes and block tables",
    compute=value,
    rank=91,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
