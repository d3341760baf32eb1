"""Metric `kv_cache_bytes`: bytes of the key-value cache."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import largest, of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

of = of_series("cache", statistic=largest)

METRIC = Metric(
    name="kv_cache_bytes",
    label="KV cache",
    unit="B",
    direction="lower",
    summary="Bytes of the key-value cache that was set up, of all layers, used or not.",
    formula="bytes of all planes and block tables",
    compute=of_measurement(of),
    rank=91,
    needs=("cache",),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
