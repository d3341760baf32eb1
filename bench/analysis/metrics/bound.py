"""Metric `bound`: whether the device's matrix rate or its memory bandwidth limits a case."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import registry


def limiting_resource(row: Row) -> str | None:
    light = row.measured_light()
    return None if light is None else light.bound


METRIC = Metric(
    name="bound",
    label="bound by",
    unit="",
    direction="neither",
    summary="What sets the case's least time on this device: compute, or memory.",
    formula="the larger of operations / measured rate and bytes moved / measured bandwidth",
    compute=limiting_resource,
    rank=60,
    of_any_outcome=True,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
