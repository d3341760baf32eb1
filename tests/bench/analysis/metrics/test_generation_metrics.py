"""Metrics of a generation against values worked out by hand from one log."""

from __future__ import annotations

import pytest

from attnlab.bench.analysis.metrics import known_metrics, with_remarks
from attnlab.bench.contract.metric import Row
from attnlab.bench.llm.generation.events import CallLog, Pass, RequestLog, series_of
from attnlab.bench.store.records import Burst, DeviceState, Launch, Measurement, Outcome, Series

from .test_metrics import run

MS = 1e6
METRICS = {metric.name: metric for metric in known_metrics()}
REQUESTS = (
    RequestLog(0.0, 100, (200 * MS, 250 * MS, 310 * MS), (1, 2, 4)),  # TTFT 200, gaps 50, 30, 30
    RequestLog(100 * MS, 50, (200 * MS, 240 * MS), (1, 2)),  # TTFT 100, gap 40
)
PASSES = (
    Pass("prefill", 100 * MS, 1e9, 150),
    Pass("decode", 50 * MS, 0.5e9, 2),
    Pass("verify", 50 * MS, 0.7e9, 6, drafted=(2, 2), accepted=(1, 0)),
)


def row(passes: tuple[Pass, ...] = PASSES, outcome: Outcome = Outcome.PASSED) -> Row:
    def burst(energy_j: float) -> Burst:
        series = (
            Series("latency", "ns", "wall", "lower", (310 * MS,)),
            *series_of(CallLog(REQUESTS, passes, {"cache": 64.0})),
        )
        return Burst(0.0, series, DeviceState(energy_j=energy_j))

    bursts = (burst(100.0), burst(103.0))
    case = {"dtype": "float32", "ttft_ms": 150, "tpot_ms": 40}
    median_ns = 310 * MS if outcome is Outcome.PASSED else None
    measured = Measurement("generate", "x", case, "c", outcome, launches=(Launch(1, bursts),), median_ns=median_ns)
    return Row(run(), measured)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ttft_ns", 150 * MS),
        ("itl_ns", 35 * MS),
        ("icl_ns", 50 * MS),  # of 50, 60 and 40
        ("icl_max_ns", 60 * MS),
        ("tpot_ns", (110 / 3 + 40) / 2 * MS),
        ("output_tok_per_s", 6 / 0.310),
        ("prefill_tok_per_s", 500.0),
        ("failed_requests", 0.0),
        ("offered_per_s", 1 / 0.1),
        ("answered_per_s", 2 / 0.310),
        ("goodput_per_s", 1 / 0.310),
        ("acceptance_rate", 1 / 4),
        ("acceptance_length", (1 + 2 + 2) / 4),
        ("decode_mbu", (0.5 + 0.7) / 2 / 0.05 / 20),
        ("prefill_mbu", 1 / 0.1 / 20),
        ("kv_cache_bytes", 64.0),
        ("joules_a_token", 3.0 / 6),
    ],
)
def test_by_hand(name: str, value: float) -> None:
    assert METRICS[name].value(row()) == pytest.approx(value)


@pytest.mark.parametrize("name", ["ttft_p95_ns", "itl_p99_ns", "decode_mbu_published"])
def test_what_so_few_samples_or_an_unknown_device_do_not_support(name: str) -> None:
    assert METRICS[name].value(row()) is None


@pytest.mark.parametrize("name", ["acceptance_rate", "acceptance_length", "decode_mbu", "prefill_mbu"])
def test_what_was_not_logged_is_none(name: str) -> None:
    assert METRICS[name].value(row(passes=())) is None


def test_no_time_of_a_wrong_result() -> None:
    assert METRICS["ttft_ns"].value(row(outcome=Outcome.WRONG_VALUES)) is None


def test_an_operator_without_a_log_has_no_such_figures() -> None:
    other = Row(run(), Measurement("attention", "x", {"dtype": "float32"}, "c", Outcome.PASSED, median_ns=1.0))
    names = ("ttft_ns", "itl_ns", "tpot_ns", "output_tok_per_s", "goodput_per_s", "kv_cache_bytes", "joules_a_token")
    assert [METRICS[name].value(other) for name in names] == [None] * len(names)


def test_a_stall_is_not_shared_among_the_tokens_that_come_after_it() -> None:
    stalled = RequestLog(0.0, 10, (100 * MS, 120 * MS, 1120 * MS), (1, 2, 6))
    bursts = (Burst(0.0, series_of(CallLog((stalled,)))),)
    found = Row(
        run(), Measurement("generate", "x", {}, "c", Outcome.PASSED, launches=(Launch(1, bursts),), median_ns=MS)
    )
    assert METRICS["icl_max_ns"].value(found) == 1000 * MS
    assert METRICS["itl_ns"].value(found) == 250 * MS


def of_log(log: CallLog) -> Row:
    bursts = (Burst(0.0, series_of(log)),)
    case = {"ttft_ms": 150, "tpot_ms": 40}
    return Row(run(), Measurement("generate", "x", case, "c", Outcome.PASSED, launches=(Launch(1, bursts),)))


def test_events_without_a_token_and_tokens_of_one_time() -> None:
    """A role first, a sign of life between, and two events at one time, which are one chunk."""
    chatty = RequestLog(0.0, 10, (1.0, 100 * MS, 110 * MS, 120 * MS, 120 * MS), (0, 1, 1, 2, 3))
    found = of_log(CallLog((chatty,)))
    assert METRICS["ttft_ns"].value(found) == 100 * MS
    assert METRICS["itl_ns"].value(found) == 10 * MS
    assert METRICS["icl_ns"].value(found) == 20 * MS
    assert METRICS["failed_requests"].value(found) == 0


def test_a_request_without_tokens_is_a_failure_and_has_no_latency() -> None:
    silent = RequestLog(0.0, 10, (), ())
    failed = RequestLog(0.0, 10, (50 * MS,), (1,), failure="out of pages")
    found = of_log(CallLog((*REQUESTS, silent, failed)))
    assert METRICS["failed_requests"].value(found) == 2
    assert METRICS["ttft_ns"].value(found) == 150 * MS
    assert METRICS["output_tok_per_s"].value(found) == pytest.approx(6 / 0.310)
    assert METRICS["failed_requests"].value(of_log(CallLog((silent,)))) == 1
    for name in ("ttft_ns", "itl_ns", "tpot_ns", "output_tok_per_s", "goodput_per_s", "prefill_tok_per_s"):
        assert METRICS[name].value(of_log(CallLog((silent, failed)))) is None


@pytest.mark.parametrize(
    "request_log",
    [
        RequestLog(0.0, 1, (2.0, 1.0), (1, 2)),
        RequestLog(5.0, 1, (2.0,), (1,)),
        RequestLog(0.0, 1, (float("nan"),), (1,)),
        RequestLog(0.0, 1, (1.0, 2.0), (2, 1)),
    ],
    ids=["backwards", "before arrival", "nan", "falling"],
)
def test_a_stored_log_that_cannot_be_gives_no_figure_and_costs_no_report(request_log: RequestLog) -> None:
    found = of_log(CallLog((request_log,)))
    assert [METRICS[name].value(found) for name in ("ttft_ns", "itl_ns", "output_tok_per_s")] == [None] * 3
    assert any("its log cannot be, so that no figure" in flag for flag in with_remarks(found).measurement.flags)
