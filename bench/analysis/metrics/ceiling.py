"""Metric `share_of_ceiling`: how near a result comes to the speed of light measured on its device."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import bytes_if_bound, share_of_light
from attnlab.bench.contract.beyond import Remark, above_measured
from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import registry

share = share_of_light(Row.measured_light)


def remark(row: Row) -> Remark | None:
    return above_measured(row.run, share(row), "the result", bytes_if_bound(row, row.measured_light()))


METRIC = Metric(
    name="share_of_ceiling",
    label="of measured ceiling",
    unit="share",
    direction="higher",
    summary="The least time of the case at the rates measured on this device, as a share of the time taken.",
    formula="max(operations / measured rate, time to read and to copy its bytes at the measured bandwidths) / median",
    compute=share,
    rank=70,
    remark=remark,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
