"""Metric `bubble`: the share of a call in which the stages of a pipeline do not compute."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import by_call, of_samples
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.ranks.quantities import BUSY, quantity_of
from attnlab.bench.store.records import Measurement


def bubbles(measurement: Measurement) -> list[float]:
    """Of each call, what stages were idle of the slowest one's time."""
    pairs = zip(by_call(measurement, BUSY), by_call(measurement), strict=False)
    return [1 - sum(computed) / (len(computed) * max(took)) for computed, took in pairs if max(took)]


METRIC = Metric(
    name="bubble",
    label="bubble",
    unit="share",
    direction="lower",
    summary="The share of a call in which the ranks of a pipeline do not compute; each says how long it did.",
    formula="median over calls of 1 − Σ time that a rank computed / (p · slowest rank's time)",
    compute=of_measurement(of_samples(bubbles)),
    rank=39,
    needs=(quantity_of(0, BUSY),),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
