"""Logs that would give a false figure are refused, by who made the call and again from raw series."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench.contract.operator_spec import NORMAL_DRAW, Span
from attnlab.bench.ops.serve.case import ServeCase
from attnlab.bench.ops.serve.contract import SERVE, observed
from attnlab.bench.ops.serve.inputs import ServeInputs, ServeOutputs
from attnlab.bench.ops.serve.witness import attest, refute
from attnlab.bench.serving.log import Arrivals, Served, ServedLog

from .conftest import ToyServer, case_of

CPU = torch.device("cpu")


class Call:
    """One call on a toy server, with the time around it."""

    def __init__(self, toy: Path, change: Callable[[ServedLog], ServedLog] | None = None, **axes: object) -> None:
        self.case: ServeCase = case_of(toy, **axes)
        self.inputs: ServeInputs = SERVE.make_inputs(self.case, NORMAL_DRAW, 0, CPU)
        server = ToyServer(toy)
        begun = time.perf_counter_ns()
        self.returned: ServeOutputs = self.inputs.drive_with(
            lambda *load: server.put(*load) if change is None else change(server.put(*load))
        )
        self.span = Span(begun, float(time.perf_counter_ns() - begun), 100.0)

    def attest(self) -> tuple[ServeOutputs, tuple[str, ...]]:
        return attest(self.case, self.inputs, self.returned, self.span)


def each(change: Callable[[Served], Served]) -> Callable[[ServedLog], ServedLog]:
    return lambda log: replace(log, requests=tuple(map(change, log.requests)))


def shifted(served: Served, ns: int) -> Served:
    """All that came of it, by so much later, or earlier."""
    times = tuple(time_ns + ns for time_ns in served.arrivals.times_ns)
    return replace(served, arrivals=replace(served.arrivals, times_ns=times), ended_ns=served.ended_ns + ns)


def of_the_server(served: Served) -> Served:
    """When the server says that it sent its tokens, by a clock that is ahead."""
    return shifted(served, 10**12)


def in_two(arrivals: Arrivals) -> Arrivals:
    times = arrivals.times_ns[0], arrivals.times_ns[0] + 1
    return replace(arrivals, times_ns=times, tokens=(2, 6), kinds=("text",) * 2)


LIES: dict[str, tuple[Callable[[Served], Served], dict[str, object], str]] = {
    "answered before it was sent": (
        lambda served: replace(served, sent_ns=served.arrivals.times_ns[-1] + 10**6, headers_ns=None),
        {},
        "has its first token at .*, and is sent at .*; expected it after that",
    ),
    "the server's own times": (of_the_server, {}, "expected all within the call"),
    "tokens lost": (
        lambda served: replace(served, arrivals=replace(served.arrivals, tokens=(1,) * 6)),
        {},
        "request 0 has 1 tokens in the log; expected 6",
    ),
    "due when it was sent": (
        lambda served: replace(served, due_ns=served.sent_ns or 0),
        {"load": "rate:2000"},
        "expected the times of rate:2000",
    ),
    "a turn before its answer": (
        lambda served: replace(served, due_ns=0),
        {"load": "conversations:2:0", "prompt_len": 140},
        "request 1 is due at .* or later, as it follows request 0",
    ),
    "a whole answer in pieces": (
        lambda served: replace(served, arrivals=in_two(served.arrivals)),
        {"answer": "whole"},
        "numbers of tokens|came in 2 pieces",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_log_that_cannot_be_is_refused(name: str, toy: Path) -> None:
    change, axes, said = LIES[name]
    with pytest.raises(ValueError, match=said):
        Call(toy, each(change), **axes).attest()


def test_more_under_way_than_asked_for(toy: Path) -> None:
    call = Call(toy, each(lambda served: replace(served, due_ns=0, begun_ns=0, sent_ns=0, headers_ns=0)))
    with pytest.raises(ValueError, match="it had 4 requests under way at once; expected 1 at most"):
        call.attest()


def test_a_log_that_an_endpoint_made_is_none(toy: Path) -> None:
    call = Call(toy)
    call.returned = replace(call.returned)
    with pytest.raises(ValueError, match="not the one that the client kept"):
        call.attest()
    call = Call(toy)
    call.attest()
    with pytest.raises(ValueError, match="not the one that the client kept"):
        call.attest()  # of a second call, that asked nothing


def test_raw_series_are_held_to_the_same_rules(toy: Path) -> None:
    call = Call(toy)
    known, notes = call.attest()
    assert notes == ("its times are told by the implementation itself: no client of ours took them at a socket",)
    said = observed(call.inputs, known)
    took = call.span.elapsed_ns

    def refusal(*calls: tuple[Any, float]) -> str | None:
        return refute(call.case, range(1), calls, 100.0).refusal

    assert refusal((said, took)) is None
    assert refusal((said, took), (said, took)) == "the log of timed call 1 is that of call 0; expected one of its own"
    assert "expected all within the call" in (refusal((said, took / 1000)) or "")
    assert refusal(((), took)) == "timed call 0 has no log; expected one of each"
    late = tuple(
        replace(one, values=tuple(v + 1e12 for v in one.values)) if one.quantity == "request_sent" else one
        for one in said
    )
    assert "expected it after that" in (refusal((late, took)) or "")


def test_a_late_client_and_what_nobody_counted_are_told(toy: Path) -> None:
    def behind(log: ServedLog) -> ServedLog:
        made = [
            replace(one, sent_ns=one.due_ns + 5_000_000, headers_ns=None, counted_by="chunks") for one in log.requests
        ]
        later = [shifted(one, 6_000_000) for one in made]
        time.sleep(0.01)
        return replace(log, requests=tuple(later), ended_ns=log.ended_ns + 6_000_000)

    call = Call(toy, behind, load="rate:2000")
    known, _ = call.attest()
    notes = refute(call.case, range(1), [(observed(call.inputs, known), call.span.elapsed_ns)], 100.0).notes
    assert any(note.startswith("the client sent late, by 5.00 ms at p99") for note in notes)
    assert any(note.startswith("tokens of 4 of 4 answers are counted by chunks") for note in notes)
