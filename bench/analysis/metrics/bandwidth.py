"""Metric `gb_per_s`: the least bytes of a case over its time."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.analysis.metrics._formulas import per_second
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry

of = per_second(lambda m: m.bytes_moved, units.GB)

METRIC = Metric(
    name="gb_per_s",
    label="bandwidth",
    unit="GB/s",
    direction="higher",
    summary="The least bytes that the case must move, not those moved, over the time; 1 GB is 10⁹ bytes.",
    formula="bytes moved / median",
    compute=of_measurement(of),
    rank=30,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
