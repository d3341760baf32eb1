"""Metric `speedup`: how many times as fast as the bench's baseline."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import registry
from attnlab.bench.store.records import Measurement, TimingRecord


def over_baseline(row: Row) -> float | None:
    """None unless the baseline passed on the same case in the same run, timed by the same method."""
    own, base = row.measurement, row.baseline
    if base is None or not own.median_ns or not base.median_ns or _method(own) != _method(base):
        return None
    return base.median_ns / own.median_ns


def _method(measurement: Measurement) -> tuple[str, str] | None:
    timing: TimingRecord | None = measurement.timing
    return None if timing is None else (timing.clock, timing.cache)


METRIC = Metric(
    name="speedup",
    label="speed-up",
    unit="ratio",
    direction="higher",
    summary="How many times as fast as the bench's baseline on the same case in the same run.",
    formula="baseline's median / median",
    compute=over_baseline,
    rank=26,
    of_baseline=True,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
