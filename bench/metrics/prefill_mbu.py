"""Metric `prefill_mbu`: the share of the measured bandwidth that prefill passes use."""

from __future__ import annotations

from attnlab.bench.generation import measured
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def value(row: Row) -> float | None:
    rate = measured.median(measured.read_rates(row.measurement, ("prefill",)))
    return rate / row.run.ceilings.bandwidth if rate is not None else None


METRIC = Metric(
    name="prefill_mbu",
    label="prefill of bandwidth",
    unit="share",
    direction="higher",
    summary="The same of prefill passes; low where arithmetic bounds them.",
    formula="median of (bytes of a pass / its time) / measured bandwidth",
    compute=value,
    rank=74,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
