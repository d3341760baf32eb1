"""Metric `headers_ns`: time to the head of an answer."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_samples
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation.served import HEADERS, ways_of
from attnlab.bench.store.records import Measurement


def heads_of(measurement: Measurement) -> list[float]:
    """From a request's sending to the head of its answer, in nanoseconds."""
    ways = ways_of(measurement)
    return [w.headers_ns - w.sent_ns for w in ways if w.headers_ns is not None and w.sent_ns is not None]


of = of_samples(heads_of)

METRIC = Metric(
    name="headers_ns",
    label="headers",
    unit="ns",
    direction="lower",
    summary="Median time from sending a request to the head of its answer, which some servers send with the first "
    "token.",
    formula="median of (headers − sent)",
    compute=of_measurement(of),
    rank=31,
    needs=(HEADERS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
