"""Metric `share_of_published`: how near a result comes to the speed of light on its device's data sheet."""

from __future__ import annotations

from attnlab.bench.beyond import Remark, above_published
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def share_of_data_sheet(row: Row) -> float | None:
    light = row.published_light()
    if light is None or not row.measurement.median_ns:
        return None
    return light.time_ns / row.measurement.median_ns


def remark(row: Row) -> Remark | None:
    light, timing = row.published_light(), row.measurement.timing
    touched_bytes = row.measurement.bytes_moved if light is not None and light.bound == "memory" else None
    cache = "warm" if timing is None else timing.cache
    return above_published(row.run, share_of_data_sheet(row), "the result", touched_bytes, cache)


METRIC = Metric(
    name="share_of_published",
    label="of published ceiling",
    unit="share",
    direction="higher",
    summary="The same with the data sheet's dense rates, for devices whose data sheet is known.",
    formula="max(operations / published rate, bytes moved / published bandwidth) / median",
    compute=share_of_data_sheet,
    rank=80,
    remark=remark,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
