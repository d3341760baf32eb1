"""The figures of a generation against numbers worked out by hand, chunks and single tokens included."""

from __future__ import annotations

import pytest

from attnlab.bench.llm.generation.events import CallLog, Pass, RequestLog, calls_of, series_of
from attnlab.bench.llm.generation.latencies import (
    Objectives,
    end_to_end_ns,
    goodput,
    icl_ns,
    itl_ns,
    output_rate,
    percentile,
    prefill_rate,
    tpot_ns,
    ttft_ns,
)
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome

CHUNKED = RequestLog(10.0, 100, times_ns=(110.0, 140.0, 150.0), tokens=(2, 5, 6))
ONE_CHUNK = RequestLog(0.0, 5, times_ns=(50.0,), tokens=(3,))


def measured(*bursts: Burst) -> Measurement:
    return Measurement("generate", "x", {}, "c", Outcome.PASSED, launches=(Launch(1, bursts),))


NOTHING = RequestLog(0.0, 5, times_ns=(), tokens=())


def test_a_chunk_of_k_tokens_is_k_samples_of_its_gap_over_k() -> None:
    assert ttft_ns(CHUNKED) == 100.0
    assert icl_ns(CHUNKED) == [30.0, 10.0]
    assert itl_ns(CHUNKED) == [10.0, 10.0, 10.0, 10.0]
    assert tpot_ns(CHUNKED) == (150.0 - 110.0) / (6 - 2)
    assert sum(itl_ns(CHUNKED)) == tpot_ns(CHUNKED) * (6 - 2)
    assert end_to_end_ns(CHUNKED) == 140.0
    assert prefill_rate(CHUNKED) == pytest.approx(100 / 100e-9)


def test_what_is_undefined_is_none_and_not_zero() -> None:
    assert tpot_ns(ONE_CHUNK) is None
    assert itl_ns(ONE_CHUNK) == []
    assert ttft_ns(NOTHING) is None
    assert end_to_end_ns(NOTHING) is None
    assert output_rate([NOTHING]) is None
    assert goodput([NOTHING], Objectives(1.0, 1.0)) is None


def test_rates_are_over_the_span_from_the_first_arrival_to_the_last_token() -> None:
    assert output_rate([CHUNKED, ONE_CHUNK]) == pytest.approx(9 / 150e-9)


@pytest.mark.parametrize(
    ("ttft", "tpot", "met"), [(100.0, 10.0, 1), (99.0, 10.0, 0), (100.0, 9.9, 0)], ids=["both", "late", "slow"]
)
def test_goodput_counts_requests_that_keep_every_objective(ttft: float, tpot: float, met: int) -> None:
    assert goodput([CHUNKED], Objectives(ttft, tpot)) == pytest.approx(met / 140e-9)


def test_a_request_of_one_chunk_has_no_time_for_each_token_to_miss() -> None:
    assert goodput([ONE_CHUNK], Objectives(50.0, 1e-3)) == pytest.approx(1 / 50e-9)


def test_a_percentile_wants_samples_beyond_it() -> None:
    assert percentile(range(100), 0.99) is None
    assert percentile(range(500), 0.99) == 495
    assert percentile(range(100), 0.95) == 95
    assert percentile([], 0.5) is None


def test_a_log_survives_being_stored() -> None:
    logs = (
        RequestLog(10.0, 100, (110.0, 140.0), (2, 5), tokenise_ns=3.0, first_sample_ns=4.0),
        RequestLog(20.0, 7, (130.0,), (1,), tokenise_ns=5.0, first_sample_ns=6.0),
    )
    passes = (Pass("prefill", 90.0, 1e6, 107), Pass("verify", 20.0, 2e6, 8, drafted=(3, 3), accepted=(2, 0)))
    burst = Burst(0.0, series_of(CallLog(logs, passes, {"cache": 64.0})))
    stored = measured(burst, burst)
    assert calls_of(stored) == [list(logs), list(logs)]
    assert stored.values("prefill_pass") == [90.0, 90.0]
    assert stored.values("verify_bytes") == [2e6, 2e6]
    assert stored.values("accepted") == [2.0, 0.0] * 2
    assert stored.values("cache") == [64.0, 64.0]


def test_what_some_requests_lack_is_left_out_of_the_store() -> None:
    logs = (RequestLog(0.0, 1, (1.0,), (1,), tokenise_ns=3.0), RequestLog(0.0, 1, (2.0,), (1,)))
    stored = measured(Burst(0.0, series_of(CallLog(logs))))
    assert [request.tokenise_ns for request in calls_of(stored)[0]] == [None, None]


def test_a_measurement_without_a_log_has_no_calls() -> None:
    assert calls_of(measured(Burst(0.0, ()))) == []
