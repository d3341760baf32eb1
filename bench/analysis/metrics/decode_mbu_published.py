"""Metric `decode_mbu_published`: the share of the published bandwidth that decoding passes use."""

from __future__ import annotations

from functools import partial

from attnlab.bench.analysis.metrics._formulas import (
    DECODING,
    quantities_of_passes,
    remark_on_passes,
    share_of_bandwidth,
)
from attnlab.bench.contract.beyond import above_published
from attnlab.bench.contract.metric import Metric
from attnlab.bench.contract.registry import registry
from attnlab.bench.store.records import RunRecord


def bandwidth(run: RunRecord) -> float | None:
    """Of the device's data sheet, in bytes a second."""
    return None if run.ceilings.published is None else run.ceilings.published.bandwidth


share = share_of_bandwidth(DECODING, bandwidth)
remark = remark_on_passes(share, DECODING, "decoding", partial(above_published, cache="warm"))

METRIC = Metric(
    name="decode_mbu_published",
    label="decode of published",
    unit="share",
    direction="higher",
    summary="The same of the bandwidth that the device's data sheet gives.",
    formula="median of (bytes of a pass / its time) / published bandwidth",
    compute=share,
    remark=remark,
    rank=73,
    needs=quantities_of_passes(DECODING),
)
registry.metrics.add(METRIC.name, METRIC, __name__)
