"""Metric `retried_requests`: requests that were sent again."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation.served import ATTEMPTS, loads_of
from attnlab.bench.store.records import Measurement


def of(measurement: Measurement) -> float | None:
    loads = loads_of(measurement)
    return float(sum(max(0, way.attempts - 1) for load in loads for way in load.deliveries)) if loads else None


METRIC = Metric(
    name="retried_requests",
    label="retried",
    unit="requests",
    direction="lower",
    summary="How often requests of all timed calls were sent again; their latency counts from the first time.",
    formula="sum of (attempts − 1)",
    compute=of_measurement(of),
    rank=33,
    needs=(ATTEMPTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
