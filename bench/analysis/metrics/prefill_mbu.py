"""Metric `prefill_mbu`: the share of the measured bandwidth that prefill passes use."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import (
    PREFILL,
    quantities_of_passes,
    remark_on_passes,
    share_of_bandwidth,
)
from attnlab.bench.contract.beyond import above_measured
from attnlab.bench.contract.metric import Metric
from attnlab.bench.contract.registry import registry

share = share_of_bandwidth(PREFILL, lambda run: run.ceilings.read_rate)
remark = remark_on_passes(share, PREFILL, "prefill", above_measured)

METRIC = Metric(
    name="prefill_mbu",
    label="prefill of bandwidth",
    unit="share",
    direction="higher",
    summary="The same of prefill passes; low where arithmetic bounds them.",
    formula="median of (bytes of a pass / its time) / measured bandwidth of reading",
    compute=share,
    remark=remark,
    rank=74,
    needs=quantities_of_passes(PREFILL),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
