"""Metric `decode_mbu`: the share of the measured bandwidth that decoding passes use."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import (
    DECODING,
    quantities_of_passes,
    remark_on_passes,
    share_of_bandwidth,
)
from attnlab.bench.contract.beyond import above_measured
from attnlab.bench.contract.metric import Metric
from attnlab.bench.contract.registry import registry

share = share_of_bandwidth(DECODING, lambda run: run.ceilings.read_rate)
remark = remark_on_passes(share, DECODING, "decoding", above_measured)

METRIC = Metric(
    name="decode_mbu",
    label="decode of bandwidth",
    unit="share",
    direction="higher",
    summary="Bytes that a decoding or verifying pass must read, of the measured bandwidth of reading.",
    formula="median of (bytes of a pass / its time) / measured bandwidth of reading",
    compute=share,
    remark=remark,
    rank=72,
    needs=quantities_of_passes(DECODING),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
