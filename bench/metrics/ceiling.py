"""Metric `share_of_ceiling`: how near a result comes to the speed of light measured on its device."""

from __future__ import annotations

from attnlab.bench.beyond import Remark, above_measured
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def share_of_measured(row: Row) -> float | None:
    light = row.measured_light()
    if light is None or not row.measurement.median_ns:
        return None
    return light.time_ns / row.measurement.median_ns


def remark(row: Row) -> Remark | None:
    light = row.measured_light()
    touched_bytes = row.measurement.bytes_moved if light is not None and light.bound == "memory" else None
    return above_measured(row.run, share_of_measured(row), "the result", touched_bytes)


METRIC = Metric(
    name="share_of_ceiling",
    label="of measured ceiling",
    unit="share",
    direction="higher",
    summary="The least time of the case at the rates measured on this device, as a share of the time taken.",
    formula="max(operations / measured rate, time to read and to copy its bytes at the measured bandwidths) / median",
    compute=share_of_measured,
    rank=70,
    remark=remark,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
