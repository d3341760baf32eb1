"""Metric `hidden_communication`: the share of what ranks send each other that costs no time beside computing."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import of_series
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.ranks.quantities import COMMUNICATION, COMPUTATION
from attnlab.bench.store.records import Measurement

communication_ns, computation_ns = of_series(COMMUNICATION), of_series(COMPUTATION)


def of(measurement: Measurement) -> float | None:
    """None where a call's parts were not timed alone."""
    sent, computed, whole = communication_ns(measurement), computation_ns(measurement), measurement.median_ns
    if not sent or computed is None or not whole:
        return None
    return (sent + computed - whole) / sent


METRIC = Metric(
    name="hidden_communication",
    label="hidden",
    unit="share",
    direction="higher",
    summary="The share of communication that goes on while ranks compute: 1 where a call takes no longer than its "
    "computing alone, 0 where one comes after the other, less where a call takes longer than both. Above 1 or far "
    "below 0, communication is small beside what the parts' times scatter by.",
    formula="(communication alone + computation alone − median) / communication alone",
    compute=of_measurement(of),
    rank=38,
    needs=(COMMUNICATION,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
