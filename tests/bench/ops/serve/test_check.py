"""Answers of a server that lies are rejected, each with what it lies about; honest ones pass in every form."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.bench.contract.registry import Registry, implements
from attnlab.bench.machine.clocks import clocks_for
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.judging.court import Court
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.ops.serve.contract import SERVE
from attnlab.bench.ops.serve.lengths import Lengths
from attnlab.bench.serving.asked import Asked
from attnlab.bench.serving.failures import Failure
from attnlab.bench.serving.log import Arrivals, Served
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Measurement, Outcome
from tests.helpers.toy_served import make_toy

from .conftest import Asking, Change, ToyServer, case_of, changed

CPU = torch.device("cpu")
COURT = Court(CPU)
QUICK = Effort(target=0.9, sampling_limit_s=0.05, warmup_limit_s=0.001, max_samples=2)
CEILINGS = Ceilings("here", 1, 1e12, {}, None, 0.0)


class _Trims:
    """Asks for less than the call is about."""

    server: ToyServer

    def run(self, inputs: Any, state: Any) -> Any:
        shorter = replace(inputs, case=replace(inputs.case, new_tokens=Lengths.read(2)))
        return Asking(self.server).run(inputs if inputs.asks else shorter, state)


def test_other_inputs_than_those_of_the_call_are_no_measurement_of_it(toy: Path) -> None:
    found = measured(ToyServer(toy), toy, _Trims)
    assert found.outcome is Outcome.FAILED
    assert "it drove other inputs than the call had" in (found.reason or "")


def test_usage_of_tokens_that_nobody_saw_is_told(toy: Path) -> None:
    found = measured(ToyServer(toy, changed(text="ab"), ids=False), toy, model="served", prompt_len=90, new_tokens=16)
    assert any(
        "4 answers of 4 with more tokens, by the server's usage, than bytes of text" in one for one in found.flags
    )


def test_streams_that_hold_tokens_back_are_told(toy: Path) -> None:
    def lumps(served: Served, asked: Asked) -> Served:
        if not served.streamed:
            return served
        kinds, ends = served.arrivals.kinds[:2], (served.arrivals.times_ns[0], served.arrivals.times_ns[-1])
        return replace(served, arrivals=Arrivals(ends, (1, 1), kinds, (1, asked.max_tokens)))

    flags = measured(ToyServer(toy, lumps), toy).flags
    assert any(re.match(r"(\d+) answers of \1 came in fewer pieces than half their tokens", flag) for flag in flags)


def test_answers_that_come_whole_are_no_streams(toy: Path) -> None:
    found = measured(ToyServer(toy, changed(streamed=False)), toy)
    assert found.outcome is Outcome.FAILED
    assert re.search(r"answers came whole, though streams were asked for; take answer=whole", found.reason or "")
    assert measured(ToyServer(toy, changed(streamed=False)), toy, answer="whole").outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("prefix", "cached", "said"),
    [
        ("cold", 120, "new to the server, which says that it had 80%"),
        ("cold", 0, None),
        ("warm", 0, "in the server's prefix cache, which says that it had 0%"),
        ("warm", 120, None),
        ("asis", 120, None),
    ],
)
def test_a_prefix_cache_in_another_state_than_asked_for_is_told(
    prefix: str, cached: int, said: str | None, toy: Path
) -> None:
    def knows(served: Served, asked: Asked) -> Served:
        assert served.usage is not None
        return replace(served, usage=replace(served.usage, cached=cached))

    flags = " ".join(measured(ToyServer(toy, knows), toy, prefix=prefix, load="concurrency:9", requests=3).flags)
    assert "prompts were to be" in flags if said else "prompts were to be" not in flags
    assert (said or "") in flags
    assert "no more than 3 requests under way at once" in flags


def test_times_that_no_client_took_are_told(toy: Path) -> None:
    assert any("told by the implementation itself" in flag for flag in measured(ToyServer(toy), toy).flags)


def measured(server: ToyServer, toy: Path, asks: type | None = None, **axes: object) -> Measurement:
    own = Registry()
    implements("serve", name="x", into=own, memory_seen=False)(type("Asks", (asks or _Asks,), {"server": server}))
    setup = Setup(CPU, clocks_for(CPU), CEILINGS, QUICK, court=COURT, memory=False)  # with threads as they are now
    return measure(SERVE, case_of(toy, **axes), own.all_implementations()[0], setup)


class _Asks:
    server: ToyServer

    def run(self, inputs: Any, state: Any) -> Any:
        return Asking(self.server).run(inputs, state)


HONEST: dict[str, dict[str, object]] = {
    "cold": {},
    "as it comes": {"prefix": "asis"},
    "warm": {"prefix": "warm"},
    "whole": {"answer": "whole"},
    "at a rate": {"load": "poisson:200"},
    "conversations": {"load": "conversations:2:0", "prompt_len": 140, "requests": 2},
    "lengths of all kinds": {"prompt_len": "uniform:140:180", "new_tokens": "lognormal:5:0.3:8"},
}


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("ids", [True, False], ids=["ids", "text"])
def test_honest_servers_pass(name: str, ids: bool, toy: Path) -> None:
    found = measured(ToyServer(toy, ids=ids), toy, **HONEST[name])
    assert (found.outcome, found.reason) == (Outcome.PASSED, None)
    assert found.check is not None
    assert found.check.blunt == ()


def test_a_server_of_unknown_weights_passes_and_says_what_its_check_cannot_see(toy: Path) -> None:
    found = measured(ToyServer(toy, ids=False), toy, model="served", prompt_len=90)
    assert (found.outcome, found.reason) == (Outcome.PASSED, None)
    assert any("the answer to another prompt" in flag for flag in found.flags)


def short(served: Served, asked: Asked) -> Served:
    """An answer that is cut, and says so."""
    ids, usage = served.ids, served.usage
    assert usage is not None
    arrivals = replace(served.arrivals, tokens=tuple(min(n, 3) for n in served.arrivals.tokens))
    fewer = replace(usage, completion=3)
    return replace(served, ids=ids and ids[:3], text=served.text[:4], usage=fewer, arrivals=arrivals)


def doubled(served: Served, asked: Asked) -> Served:
    """The stream brings its beginning twice; the whole answer is right."""
    return replace(served, text=served.text[:3] + served.text) if served.streamed else served


def drops_the_end(served: Served, asked: Asked) -> Served:
    return replace(served, text=served.text[:-2]) if served.streamed else served


def usage_of_more(served: Served, asked: Asked) -> Served:
    assert served.usage is not None
    return replace(served, usage=replace(served.usage, completion=(served.usage.completion or 0) + 4))


def usage_of_another_prompt(served: Served, asked: Asked) -> Served:
    assert served.usage is not None
    return replace(served, usage=replace(served.usage, prompt=7))


class Remembers:
    """Answers every prompt with what it answered the first."""

    def __init__(self) -> None:
        self.first: Served | None = None

    def __call__(self, served: Served, asked: Asked) -> Served:
        self.first = self.first or served
        known = self.first
        return replace(served, ids=served.ids and known.ids, text=known.text) if known.text else served


LIES: dict[str, tuple[Any, str]] = {
    "cut short": (short, "another length than asked for|tokens in the log"),
    "doubled": (doubled, "no likely tokens spell|falls short|near-ties|part of the whole"),
    "end dropped": (drops_the_end, "part of the whole answer|no likely tokens"),
    "usage of more": (usage_of_more, "usage|length"),
    "usage of another prompt": (usage_of_another_prompt, "usage is off a prompt"),
    "another prompt's answer": (Remembers, "falls short|near-ties"),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("ids", [True, False], ids=["ids", "text"])
def test_lies_are_told(name: str, ids: bool, toy: Path) -> None:
    lie, said = LIES[name]
    change: Change = lie() if isinstance(lie, type) else lie
    found = measured(ToyServer(toy, change, ids), toy)
    assert found.outcome in (Outcome.WRONG_VALUES, Outcome.FAILED)
    assert re.search(said, found.reason or ""), found.reason


def test_another_model_is_told_by_its_answers(toy: Path, tmp_path: Path) -> None:
    found = measured(ToyServer(make_toy(tmp_path / "other", seed=1)), toy)
    assert found.outcome is Outcome.WRONG_VALUES
    assert re.search("falls short|near-ties", found.reason or "")


@pytest.mark.parametrize("name", ["cut short", "end dropped", "another prompt's answer"])
def test_lies_of_a_server_whose_weights_are_not_known(name: str, toy: Path) -> None:
    lie, _ = LIES[name]
    change: Change = lie() if isinstance(lie, type) else lie
    found = measured(ToyServer(toy, change, ids=False), toy, model="served", prompt_len=90)
    assert found.outcome in (Outcome.WRONG_VALUES, Outcome.FAILED)


def test_requests_that_fail_are_counted_and_have_no_latency(toy: Path) -> None:
    def fails(served: Served, asked: Asked) -> Served:
        gone = replace(served, failure=Failure("http_500", "a fault"), text="", ids=None)
        return gone if asked.number == 2 else served

    found = measured(ToyServer(toy, fails), toy)
    assert found.outcome is Outcome.PASSED
    assert "request 2 failed: http_500: a fault" in found.flags
    assert any(re.match(r"\d of \d+ requests failed: they are counted", flag) for flag in found.flags)
    all_failed = measured(ToyServer(toy, changed(failure=Failure("http_500", "a fault"))), toy)
    assert all_failed.outcome is Outcome.FAILED
    assert "requests of a call failed: http_500: a fault" in (all_failed.reason or "")
