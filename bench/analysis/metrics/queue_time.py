"""Metric `queue_ns`: what requests wait in the server."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_samples
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation.served import QUEUE, ways_of
from attnlab.bench.store.records import Measurement


def queues_of(measurement: Measurement) -> list[float]:
    """What the server says that each request waited, in nanoseconds."""
    return [way.queue_ns for way in ways_of(measurement) if way.queue_ns is not None]


of = of_samples(queues_of)

METRIC = Metric(
    name="queue_ns",
    label="queue",
    unit="ns",
    direction="lower",
    summary="Median time that a request waits in the server before its prompt is read, where the server says it.",
    formula="median of what the server says",
    compute=of_measurement(of),
    rank=32,
    needs=(QUEUE,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
