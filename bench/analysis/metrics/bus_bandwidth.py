"""Metric `bus_gb_per_s`: what each rank's link carries at least over the time of a call."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.analysis.metrics._formulas import amount_of, per_second
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.ranks.quantities import BUS

METRIC = Metric(
    name="bus_gb_per_s",
    label="bus bandwidth",
    unit="GB/s",
    direction="higher",
    summary="Bytes that each rank's link carries at least, over the time, as nccl-tests' busbw; 1 GB is 10⁹ bytes.",
    formula="message × factor / median; 2(p−1)/p for all_reduce, else (p−1)/p",
    compute=of_measurement(per_second(amount_of(BUS), units.GB)),
    rank=35,
    needs=(BUS,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
