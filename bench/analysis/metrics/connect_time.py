"""Metric `connect_ns`: what a new connection takes."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_samples
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation.served import CONNECT, ways_of
from attnlab.bench.store.records import Measurement


def connects_of(measurement: Measurement) -> list[float]:
    """Of the requests for which a connection was made, in nanoseconds."""
    return [way.connect_ns for way in ways_of(measurement) if way.connect_ns]


of = of_samples(connects_of)

METRIC = Metric(
    name="connect_ns",
    label="connect",
    unit="ns",
    direction="lower",
    summary="Median time until a new connection is there, name and TLS included; none where connections were kept.",
    formula="median of (connected − begun), of requests that made one",
    compute=of_measurement(of),
    rank=29,
    needs=(CONNECT,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
