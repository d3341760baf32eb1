"""Metric `decode_mbu_published`: the share of the published bandwidth that decoding passes use."""

from __future__ import annotations

from attnlab.bench.beyond import Remark, above_published
from attnlab.bench.generation import measured
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.metrics.decode_mbu import PASSES
from attnlab.bench.registry import registry


def value(row: Row) -> float | None:
    rate = measured.median(measured.read_rates(row.measurement, PASSES))
    published = row.run.ceilings.published
    return rate / published.bandwidth if rate is not None and published is not None else None


def remark(row: Row) -> Remark | None:
    touched_bytes = measured.pass_bytes(row.measurement, PASSES)
    return above_published(row.run, value(row), "decoding", touched_bytes, "warm")


METRIC = Metric(
    name="decode_mbu_published",
    label="decode of published",
    unit="share",
    direction="higher",
    summary="The same of the bandwidth that the device's data sheet gives.",
    formula="median of (bytes of a pass / its time) / published bandwidth",
    compute=value,
    remark=remark,
    rank=73,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
