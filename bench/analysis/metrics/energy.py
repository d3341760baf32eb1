"""Metric `joules_a_token`: energy for a token, as the GPU counts it."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation import measured
from attnlab.bench.llm.generation.events import EVENTS


def value(row: Row) -> float | None:
    return measured.joules_a_token(row.measurement)


METRIC = Metric(
    name="joules_a_token",
    label="energy",
    unit="J/tok",
    direction="lower",
    summary="Energy of the GPU from one call's end to the next one's over its tokens, idle power included.",
    formula="difference of NVML's counter / tokens, median over calls",
    compute=value,
    rank=92,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
