"""The log of a load: what is late, what is steady, and a request in the form of `generate`'s log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnlab.bench.llm.generation.latencies import icl_ns, itl_ns, tpot_ns, ttft_ns
from attnlab.bench.serving.failures import Failure
from attnlab.bench.serving.log import Arrivals, Served, ServedLog, Window

MS = 1_000_000
ARRIVALS = Arrivals((30 * MS, 40 * MS, 60 * MS, 61 * MS), (9,) * 4, ("role", "text", "text", "done"), (0, 2, 5, 5))
ONE = Served(0, due_ns=10 * MS, begun_ns=10 * MS, ended_ns=61 * MS, sent_ns=11 * MS, arrivals=ARRIVALS, prompt_tokens=9)


def log(*requests: Served, **more: object) -> ServedLog:
    return ServedLog(requests, begun_ns=5, ended_ns=100 * MS, **more)  # type: ignore[arg-type]


def test_a_request_has_the_figures_of_generate() -> None:
    request = ONE.request_log()
    assert request.chunks == ((40.0 * MS, 2), (60.0 * MS, 5))
    assert ttft_ns(request) == 30 * MS, "from the intended start"
    assert icl_ns(request) == [20 * MS]
    assert itl_ns(request) == pytest.approx([20 * MS / 3] * 3)
    assert tpot_ns(request) == pytest.approx(20 * MS / 3)
    assert (request.prompt_tokens, request.failure, request.ids) == (9, None, None)


def test_ids_go_along_only_where_they_are_all_there() -> None:
    assert replace(ONE, ids=(1, 2, 3, 4, 5)).request_log().ids == (1, 2, 3, 4, 5)
    assert replace(ONE, ids=(1, 2)).request_log().ids is None


def test_a_failed_request_keeps_what_came_and_has_no_latency() -> None:
    failed = replace(ONE, failure=Failure("disconnected", "reset\nby peer"))
    request = failed.request_log()
    assert (request.failure, request.tokens) == ("disconnected: reset by peer", (2, 5))
    assert ttft_ns(request) is None
    assert log(ONE, failed, failed).failures == {"disconnected": 2}


def test_a_failure_has_a_kind_that_is_known() -> None:
    assert str(Failure("http_429", "slow down")) == "http_429: slow down"
    with pytest.raises(ValueError, match="expected one of"):
        Failure("bad", "x")


def test_lag_is_what_the_client_made_of_it() -> None:
    assert ONE.lag_ns == MS
    assert replace(ONE, connecting_ns=MS).lag_ns == 0, "waiting for a connection is the server's and the network's"
    assert replace(ONE, sent_ns=None).lag_ns is None
    again = replace(ONE, sent_ns=9_000 * MS, attempts=2, retried=(Failure("http_503", "x"),))
    assert again.lag_ns == 0, "waiting for a retry is no lateness"
    assert log(again, ONE).retries == 1


@pytest.mark.parametrize(("late_ones", "late"), [(0, False), (1, False), (2, True), (9, True)])
def test_late_by_more_than_a_millisecond_at_p99_is_flagged(late_ones: int, late: bool) -> None:
    slow, quick = replace(ONE, sent_ns=12 * MS), replace(ONE, sent_ns=11 * MS)
    assert log(*[slow] * late_ones, *[quick] * (200 - late_ones)).late is late


def test_few_requests_are_judged_by_the_latest() -> None:
    assert log(replace(ONE, sent_ns=12 * MS), ONE).late
    assert not log(ONE).late
    assert not log().late


def test_a_loop_that_is_held_up_is_flagged() -> None:
    assert log(ONE, loop_lag_ns=(10, 20, 2 * MS)).held_up
    assert not log(ONE, loop_lag_ns=(10, 20, MS)).held_up


def test_the_steady_part_is_of_those_due_in_the_window() -> None:
    other = replace(ONE, number=1, due_ns=50 * MS)
    assert log(ONE, other, window=Window(20 * MS, 50 * MS)).steady == (other,)
    assert log(ONE, other).steady == ()


def test_the_first_of_a_kind() -> None:
    assert ARRIVALS.first_ns() == 40 * MS
    assert ARRIVALS.first_ns(("reasoning",)) is None
    assert (len(ARRIVALS), ONE.tokens, Served(1, 0, 0, 0).tokens) == (4, 5, 0)
