"""Metric `rank_skew_ns`: how much longer a call takes on its slowest rank than on its fastest."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import by_call, of_samples
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.ranks.quantities import quantity_of
from attnlab.bench.store.records import Measurement


def skews_ns(measurement: Measurement) -> list[float]:
    """Of each call, the slowest rank's time less the fastest's."""
    return [max(times) - min(times) for times in by_call(measurement)]


METRIC = Metric(
    name="rank_skew_ns",
    label="skew",
    unit="ns",
    direction="lower",
    summary="How much longer a call takes on its slowest rank than on its fastest, from the barrier before it on.",
    formula="median over calls of (slowest rank's time − fastest rank's)",
    compute=of_measurement(of_samples(skews_ns)),
    rank=36,
    needs=(quantity_of(0),),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
