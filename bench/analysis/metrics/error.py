"""Metric `error_of_budget`: the largest error found by the check, as a share of what is allowed."""

from __future__ import annotations

import math

from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.contract.registry import registry


def largest_share(row: Row) -> float | None:
    """Over all sets of inputs and all outputs; None where one is undefined."""
    check = row.measurement.check
    if check is None:
        return None
    found = [deviation for one in check.sets for deviation in one.deviations]
    if any(math.isnan(deviation.value) for deviation in found):
        return None
    return max([deviation.share_of_budget for deviation in found], default=None)


METRIC = Metric(
    name="error_of_budget",
    label="error of budget",
    unit="share",
    direction="lower",
    summary="The largest error against the float64 oracle over all inputs checked, as a share of what the "
    "contract allows; above 100 % the result is wrong.",
    formula="max(RMS error / allowed RMS error, largest error / allowed largest error)",
    compute=largest_share,
    rank=120,
    of_any_outcome=True,
)
registry.metrics.add(METRIC.name, METRIC, __name__)
