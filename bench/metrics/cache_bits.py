"""Metric `cache_bits`: bits of a cache for each number in it, all told."""

from __future__ import annotations

from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def stored(row: Row) -> float | None:
    return max(row.measurement.values("cache_bits"), default=None)


METRIC = Metric(
    name="cache_bits",
    label="cache",
    unit="bit",
    direction="lower",
    summary="Bits for each cached key or value that the result depends on, with scales, minima and block table.",
    formula="8 · bytes of the cache that must be read / (2 · tokens · key-value heads · head size)",
    compute=stored,
    rank=127,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
