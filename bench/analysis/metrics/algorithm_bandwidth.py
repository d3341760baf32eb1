"""Metric `algorithm_gb_per_s`: a message's bytes over the time of a call."""

from __future__ import annotations

from attnlab.bench import units
from attnlab.bench.analysis.metrics._formulas import amount_of, per_second
from attnlab.bench.contract.metric import Metric, of_measurement
from attnlab.bench.contract.registry import registry
from attnlab.bench.ranks.quantities import MESSAGE

METRIC = Metric(
    name="algorithm_gb_per_s",
    label="alg. bandwidth",
    unit="GB/s",
    direction="higher",
    summary="Bytes of the larger buffer of a rank over the time, as nccl-tests' algbw; 1 GB is 10⁹ bytes.",
    formula="message / median",
    compute=of_measurement(per_second(amount_of(MESSAGE), units.GB)),
    rank=34,
    needs=(MESSAGE,),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
