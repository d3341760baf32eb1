"""Metric `share_of_published`: how near a result comes to the speed of light on its device's data sheet."""

from __future__ import annotations

from attnlab.bench.analysis.metrics._formulas import bytes_if_bound, share_of_light
from attnlab.bench.contract.beyond import Remark, above_published
from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import registry

share = share_of_light(Row.published_light)


def remark(row: Row) -> Remark | None:
    timing = row.measurement.timing
    touched_bytes = bytes_if_bound(row, row.published_light())
    return above_published(row.run, share(row), "the result", touched_bytes, "warm" if timing is None else timing.cache)


METRIC = Metric(
    name="share_of_published",
    label="of published ceiling",
    unit="share",
    direction="higher",
    summary="The same with the data sheet's dense rates, for devices whose data sheet is known.",
    formula="max(operations / published rate, bytes moved / published bandwidth) / median",
    compute=share,
    rank=80,
    remark=remark,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
