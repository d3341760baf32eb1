"""Metric `share_of_ceiling`: how near a result comes to the speed of light measured on its device."""

from __future__ import annotations

from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def share_of_measured(row: Row) -> float | None:
    light = row.measured_light()
    if light is None or not row.measurement.median_ns:
        return None
    return light.time_ns / row.measurement.median_ns


METRIC = Metric(
    name="share_of_ceiling",
    label="of measured ceiling",
    unit="share",
    direction="higher",
    summary="The least time of the case at the rates measured on this device, as a share of the time taken.",
    formula="max(operations / measured rate, bytes moved / measured bandwidth) / median",
    compute=share_of_measured,
    rank=70,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
