"""Metric `decode_mbu`: the share of the measured bandwidth that decoding passes use."""

from __future__ import annotations

from attnlab.bench.beyond import Remark, above_measured
from attnlab.bench.generation import measured
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry

PASSES = ("decode", "verify")


def value(row: Row) -> float | None:
    rate = measured.median(measured.read_rates(row.measurement, PASSES))
    return rate / row.run.ceilings.read_rate if rate is not None else None


def remark(row: Row) -> Remark | None:
    touched_bytes = measured.pass_bytes(row.measurement, PASSES)
    return above_measured(row.run, value(row), "decoding", touched_bytes)


METRIC = Metric(
    name="decode_mbu",
    label="decode of bandwidth",
    unit="share",
    direction="higher",
    summary="Bytes that a decoding or verifying pass must read, of the measured bandwidth of reading.",
    formula="median of (bytes of a pass / its time) / measured bandwidth of reading",
    compute=value,
    remark=remark,
    rank=72,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
