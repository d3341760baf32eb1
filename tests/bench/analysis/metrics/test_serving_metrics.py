"""Metrics that only servers have, against values worked out by hand; and their series, written and read back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnlab.bench.analysis.metrics import known_metrics
from attnlab.bench.contract.metric import Row
from attnlab.bench.llm.generation.events import CallLog, RequestLog, log_in, series_of
from attnlab.bench.llm.generation.served import Delivery, LoadLog, load_in, loads_of, p99, series_of_load
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, Series

from .test_metrics import run

METRICS = {metric.name: metric for metric in known_metrics()}
ANSWERED = RequestLog(0.0, 100, (50e6, 60e6), (1, 2))
FAILED = RequestLog(10e6, 100, (), (), failure="http_500")
CALL = CallLog((ANSWERED, replace(ANSWERED, arrival_ns=5e6, prompt_tokens=300), FAILED))
LOAD = LoadLog(
    (
        Delivery(1e6, 4e6, 2e6, 7e6, 80, 1, "usage"),
        Delivery(6e6, 11e6, 0.0, 9e6, 20, 3, "usage"),
        Delivery(None, None, None, None, None, 2, "chunks"),
    ),
    (0.5e6, 1e6),
    (1e3, 2e3),
    True,
    (0.0, 60e6),
)


def measured(load: LoadLog = LOAD) -> Measurement:
    series = (*series_of(CALL), *series_of_load(load))
    launch = Launch(1, (Burst(0.0, series),))
    case = {"ttft_ms": 1000, "tpot_ms": 100}
    return Measurement("serve", "openai_chat", case, "chat-bf16", Outcome.PASSED, launches=(launch,))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cached_share", 100 / 400),
        ("client_lag_p99_ns", 1e6),
        ("connect_ns", 2e6),
        ("headers_ns", 4e6),
        ("queue_ns", 8e6),
        ("retried_requests", 3.0),
        ("failed_requests", 1.0),
    ],
)
def test_by_hand(name: str, value: float) -> None:
    assert METRICS[name].value(Row(run(), measured())) == pytest.approx(value)


def test_what_a_server_does_not_say_has_no_figure() -> None:
    silent = LoadLog(tuple(Delivery(1.0, None, 0.0) for _ in range(3)))
    row = Row(run(), measured(silent))
    for name in ("cached_share", "client_lag_p99_ns", "connect_ns", "headers_ns", "queue_ns"):
        assert METRICS[name].value(row) is None
    assert METRICS["retried_requests"].value(row) == 0


def test_series_are_read_back_and_are_no_counts_of_a_call() -> None:
    assert loads_of(measured()) == [LOAD]
    alone = CallLog((ANSWERED,))
    one = LoadLog((Delivery(1.0, 2.0, 0.0, None, 5),), (3.0,), (), True)
    series = (*series_of(alone), *series_of_load(one))
    assert load_in(series) == one
    read = log_in(series)
    assert read is not None
    assert read.counts == {}


def test_series_that_cannot_be_are_told() -> None:
    series = series_of_load(LOAD)
    fewer = [replace(one, values=one.values[:1]) if one.quantity == "request_sent" else one for one in series]
    with pytest.raises(ValueError, match="of other numbers"):
        load_in(fewer)
    strange = [replace(one, values=(9.0,) * 3) if one.quantity == "request_counted_by" else one for one in series]
    with pytest.raises(ValueError, match="nobody counted"):
        load_in(strange)
    assert load_in([Series("latency", "ns", "wall", "lower", (1.0,))]) is None


def test_a_percentile_of_few_is_the_largest() -> None:
    assert (p99([]), p99([1.0, 5.0, 2.0]), p99(range(1000))) == (None, 5.0, 990)
