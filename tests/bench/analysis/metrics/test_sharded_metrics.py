"""Metrics of operators whose ranks share one problem, against values worked out by hand."""

from __future__ import annotations

import pytest

from attnlab.bench.analysis.metrics import known_metrics
from attnlab.bench.contract.metric import Row
from attnlab.bench.store.records import Burst, Launch, Measurement, Series

from .test_metrics import measured, run

METRICS = {metric.name: metric for metric in known_metrics()}


def shared(**values: tuple[float, ...]) -> Measurement:
    """Two ranks; calls of 10, 20 and 12 ms on the slowest."""
    series = {
        "latency": (10e6, 20e6, 12e6),
        "latency_rank_0": (10e6, 18e6, 12e6),
        "latency_rank_1": (8e6, 20e6, 10e6),
        "busy_rank_0": (8e6, 12e6, 9e6),
        "busy_rank_1": (7e6, 8e6, 6e6),
        "communication": (4e6, 4e6, 8e6),
        "computation": (10e6, 11e6, 9e6),
        "one_rank": (18e6, 30e6, 17e6),
        "ideal_bubble": (0.2,),
    } | values
    found = tuple(Series(name, "ns", "ranks_wall", "lower", some) for name, some in series.items())
    return measured(median_ns=12e6, case={"world_size": 2}, launches=(Launch(1, (Burst(0.0, found),)),))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("share_of_ideal", 18 / (2 * 12)),
        ("hidden_communication", (4 + 10 - 12) / 4),
        ("bubble", 1 - 15 / (2 * 12)),  # of 0.25, 0.5 and 0.375
        ("ideal_bubble", 0.2),
    ],
)
def test_by_hand(metric: str, expected: float) -> None:
    assert METRICS[metric].value(Row(run(), shared())) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["share_of_ideal", "hidden_communication", "bubble", "ideal_bubble"])
def test_what_was_not_measured_is_none(metric: str) -> None:
    assert METRICS[metric].value(Row(run(), measured())) is None


def test_no_share_where_nothing_is_sent() -> None:
    assert METRICS["hidden_communication"].value(Row(run(), shared(communication=(0.0, 0.0, 0.0)))) is None
