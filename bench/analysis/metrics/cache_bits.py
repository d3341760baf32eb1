"""Metric `cache_bits`: bits of a cache for each number in it, all told."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

of = of_series("cache_bits", statistic=largest)

METRIC = Metric(
    name="cache_bits",
    label="cache",
    unit="bit",
    direction="lower",
    summary="Bits for each cached key or value that the result depends on, with scales, minima and block table.",
    formula="8 · bytes of the cache that must be read / (2 · tokens · key-value heads · head size)",
    compute=of_measurement(of),
    rank=127,
    needs=("cache_bits",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
