"""Metric `intensity_flop_per_byte`: the operations of a case for each byte that it must move."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import registry


def flop_per_byte(row: Row) -> float | None:
    m = row.measurement
    if m.operations is None or not m.bytes_moved:
        return None
    return m.operations / m.bytes_moved


METRIC = Metric(
    name="intensity_flop_per_byte",
    label="intensity",
    unit="FLOP/B",
    direction="neither",
    summary="Arithmetic intensity of the case: it is the same for every implementation.",
    formula="operations / bytes moved",
    compute=flop_per_byte,
    rank=50,
    of_any_outcome=True,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
