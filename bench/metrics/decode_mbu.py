"""Metric `decode_mbu`: the share of the measured bandwidth that decoding passes use."""

from __future__ import annotations

from attnlab.bench.generation import measured
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def value(row: Row) -> float | None:
    rate = measured.median(measured.read_rates(row.measurement, ("decode", "verify")))
    return rate / row.run.ceilings.bandwidth if rate is not None else None


METRIC = Metric(
    name="decode_mbu",
    label="decode of bandwidth",
    unit="share",
    direction="higher",
    summary="Bytes of weights and cache that a decoding or verifying pass must read, of the measured bandwidth.",
    formula="median of (bytes of a pass / its time) / measured bandwidth",
    compute=value,
    rank=72,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
