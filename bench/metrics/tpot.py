"""Metric `tpot_ns`: the median time per output token."""

from __future__ import annotations

from attnlab.bench.generation import latencies, measured
from attnlab.bench.metrics import Metric, Row
from attnlab.bench.registry import registry


def value(row: Row) -> float | None:
    return measured.median(measured.of_requests(row.measurement, latencies.tpot_ns))


METRIC = Metric(
    name="tpot_ns",
    label="TPOT",
    unit="ns",
    direction="lower",
    summary="Median over requests of the mean time of a token after the first chunk.",
    formula="median of ((last − first chunk) / (tokens − those of the first chunk))",
    compute=value,
    rank=17,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
