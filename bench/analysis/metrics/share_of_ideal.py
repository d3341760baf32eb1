"""Metric `share_of_ideal`: the time on one rank, over as many times the time on all as there are ranks."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.ranks.quantities import ONE_RANK
from attnlab.bench.store.records import Measurement

one_rank_ns = of_series(ONE_RANK)


def of(measurement: Measurement) -> float | None:
    """None where the whole was not timed on one rank."""
    alone, together, ranks = one_rank_ns(measurement), measurement.median_ns, measurement.case.get("world_size")
    if alone is None or not together or not ranks:
        return None
    return alone / (int(ranks) * together)


METRIC = Metric(
    name="share_of_ideal",
    label="of ideal",
    unit="share",
    direction="higher",
    summary="How near the ranks of a call come to sharing its work without loss: 1 where p of them take a p-th of the "
    "time that one takes for the whole, which is timed between calls.",
    formula="median time of the whole on one rank / (p · median)",
    compute=of_measurement(of),
    rank=37,
    needs=(ONE_RANK,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
