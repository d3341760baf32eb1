"""Metric `failed_requests`: requests that have no answer."""

from __future__ import annotations

from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation.events import EVENTS, calls_of
from attnlab.bench.store.records import Measurement


def of(measurement: Measurement) -> float | None:
    calls = calls_of(measurement)
    return float(sum(not request.answered for call in calls for request in call)) if calls else None


METRIC = Metric(
    name="failed_requests",
    label="failed",
    unit="requests",
    direction="lower",
    summary="Requests of all timed calls that failed or answered nothing: they are counted, and have no latency.",
    formula="number of requests without an answer",
    compute=of_measurement(of),
    rank=21,
    needs=(EVENTS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
