"""Logs that give a false speed are refused with the rule that they break; honest ones of every form pass."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from attnlab.bench.analysis.metrics import known_metrics
from attnlab.bench.contract.metric import Row
from attnlab.bench.contract.operator_spec import NORMAL_DRAW, Attestation, Span
from attnlab.bench.contract.registry import Registry, implements
from attnlab.bench.llm.generation.events import CallLog, Pass, RequestLog, series_of
from attnlab.bench.llm.generation.recorder import Recorder
from attnlab.bench.machine.clocks import clocks_for
from attnlab.bench.measuring.correctness import Checker
from attnlab.bench.measuring.harness import measure
from attnlab.bench.measuring.judging.court import Court
from attnlab.bench.measuring.judging.handing import HereJudge
from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.measuring.setup import Setup
from attnlab.bench.measuring.timing import Effort
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs, GenerateOutputs
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.ops.generate.witness import refute
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Measurement, Outcome, Series
from attnlab.impls.generate._engine.adapter import EngineAdapter

CPU = torch.device("cpu")
COURT = Court(CPU)
QUICK = Effort(target=0.9, sampling_limit_s=0.05, warmup_limit_s=0.001, max_samples=3)
SETUP = Setup(CPU, clocks_for(CPU), Ceilings("here", 1, 1e12, {}, None, 0.0), QUICK, court=COURT, memory=False)
CASE = GenerateCase.parse("toy-random-B2-P6-N4-fp32")
METRICS = {metric.name: metric for metric in known_metrics()}

Edit = Callable[[GenerateInputs, GenerateOutputs], GenerateOutputs]
OfRequest = Callable[[RequestLog], RequestLog]


class Edited(EngineAdapter):
    """Our decoder, whose log is edited when its answer is there."""

    edit: Edit = staticmethod(lambda inputs, generated: generated)

    def run(self, inputs: GenerateInputs, server: Any) -> GenerateOutputs:
        return self.edit(inputs, super().run(inputs, server))


def measured(run: type[EngineAdapter], case: GenerateCase = CASE) -> Measurement:
    own = Registry()
    implements("generate", name="x", into=own)(run)
    return measure(GENERATE, case, own.all_implementations()[0], SETUP)


def edited(edit: Edit) -> Measurement:
    return measured(type("Liar", (Edited,), {"edit": staticmethod(edit)}))


ANSWER = torch.tensor([[5, 6, 7, 8], [1, 2, 3, 4]])


def refusal(edit: Edit) -> str | None:
    """What a checker says of one call whose log is edited."""
    own = Registry()
    implements("generate", name="x", into=own)(EngineAdapter)
    checker = Checker(GENERATE, CASE, own.all_implementations()[0], HereJudge(GENERATE, CASE, COURT), CPU)
    inputs = GENERATE.make_inputs(CASE, NORMAL_DRAW, 0, CPU)
    begun = time.perf_counter_ns()
    recorder = inputs.begin()
    for place in range(4):
        begun_pass = time.perf_counter_ns()
        time.sleep(0.001)
        for request in range(2):
            recorder.arrived(request, ANSWER[request, place : place + 1].tolist())
        took_ns = float(time.perf_counter_ns() - begun_pass)
        recorder.ran(Pass("decode" if place else "prefill", took_ns, 6e5, 2 if place else 12))
    returned = edit(inputs, GenerateOutputs(ANSWER.clone(), recorder.log()))
    elapsed_ns = float(time.perf_counter_ns() - begun)
    try:
        checker.reader.attest(inputs, returned, begun, elapsed_ns)
    except Rejected as error:
        return str(error)
    return None


def requests(edit: OfRequest) -> Edit:
    return lambda _, g: replace(g, log=replace(g.log, requests=tuple(map(edit, g.log.requests))))


def passes(edit: Callable[[Pass], Pass]) -> Edit:
    return lambda _, g: replace(g, log=replace(g.log, passes=tuple(map(edit, g.log.passes))))


def value(m: Measurement, name: str) -> Any:
    from tests.bench.analysis.metrics.test_metrics import run

    return METRICS[name].value(Row(run(), m))


def late(inputs: GenerateInputs, generated: GenerateOutputs) -> GenerateOutputs:
    """A thread goes on telling of tokens when the answer has returned."""
    recorder = inputs.desk.recorder
    assert recorder is not None
    thread = threading.Thread(target=lambda: recorder.arrived(0, [1]))
    thread.start()
    thread.join()
    return generated


def other_ids(inputs: GenerateInputs, generated: GenerateOutputs) -> GenerateOutputs:
    """Told as they would come, before they were known."""
    recorder = inputs.begin()
    for request in range(2):
        recorder.arrived(request, [7] * 4)
    return GenerateOutputs(generated.tokens, recorder.log())


def counted(**counts: float) -> Edit:
    return lambda _, g: replace(g, log=replace(g.log, counts=counts))


LIES: dict[str, tuple[Edit, str]] = {
    "twice the tokens": (
        requests(lambda r: replace(r, tokens=tuple(2 * n for n in r.tokens))),
        "request 0 has 8 tokens in the log; expected the 4 of its answer",
    ),
    "ten times the tokens": (
        requests(lambda r: replace(r, tokens=tuple(10 * n for n in r.tokens))),
        "request 0 has 40 tokens in the log; expected the 4",
    ),
    "a tenth of the time": (
        requests(lambda r: replace(r, times_ns=tuple(t / 10 for t in r.times_ns))),
        "not the one that the recorder of this call kept: chunk 0 of request 0",
    ),
    "backwards": (requests(lambda r: replace(r, times_ns=r.times_ns[::-1])), "expected times that rise"),
    "falling tokens": (requests(lambda r: replace(r, tokens=(1, 3, 2, 4))), "2 tokens at an event after 3"),
    "before arrival": (
        requests(lambda r: replace(r, times_ns=tuple(t - 1e12 for t in r.times_ns))),
        "expected all after its arrival at 0 ns",
    ),
    "of another epoch": (
        requests(lambda r: replace(r, times_ns=tuple(t + 1.7e18 for t in r.times_ns))),
        "expected all within the call, which took",
    ),
    "nan": (requests(lambda r: replace(r, times_ns=(math.nan, *r.times_ns[1:]))), "event at nan ns; expected a finite"),
    "infinite": (requests(lambda r: replace(r, times_ns=(*r.times_ns[:3], math.inf))), "expected a finite time"),
    "words": (requests(lambda r: replace(r, times_ns=("soon",) * 4)), "event at soon ns"),  # type: ignore[arg-type]
    "half a token": (requests(lambda r: replace(r, tokens=(0.5, 1, 2, 4))), "0.5 tokens at"),  # type: ignore[arg-type]
    "no events": (requests(lambda r: replace(r, times_ns=(), tokens=())), "0 tokens in the log; expected the 4"),
    "late arrival": (
        requests(lambda r: replace(r, arrival_ns=r.times_ns[0] - 1)),
        "its requests arrive at",
    ),
    "longer prompt": (requests(lambda r: replace(r, prompt_tokens=60)), "a prompt of 60 tokens; expected 6"),
    "requests twice": (
        lambda _, g: replace(g, log=replace(g.log, requests=g.log.requests * 2)),
        "4 requests; expected each of 2 once",
    ),
    "no requests": (lambda _, g: replace(g, log=CallLog(())), "0 requests; expected each of 2 once"),
    "no log": (lambda _, g: replace(g, log=None), "it is a NoneType; expected a CallLog"),  # type: ignore[arg-type]
    "list of requests": (lambda _, g: replace(g, log=CallLog([3])), "no tuple of RequestLog"),  # type: ignore[arg-type]
    "tokens after the answer": (late, "has 5 tokens by"),
    "other ids": (other_ids, "does not hold the answer's tokens: token 0 of request 0 came as 7"),
    "failure with an answer": (
        requests(lambda r: replace(r, failure="no room")),
        "not the one that the recorder of this call kept: failure of request 0 is no room",
    ),
    "passes of no time": (passes(lambda p: replace(p, elapsed_ns=0.0)), "prefill pass of 0.0 ns"),
    "passes of half the time": (passes(lambda p: replace(p, elapsed_ns=p.elapsed_ns / 2)), "it has other passes"),
    "a smaller cache": (counted(cache=1.0), "it has other counts"),
    "passes of a minute": (passes(lambda p: replace(p, elapsed_ns=6e10)), "expected them within the call"),
    "ten times the bytes": (passes(lambda p: replace(p, read_bytes=10 * p.read_bytes)), "pass that read"),
    "more accepted than guessed": (
        passes(lambda p: replace(p, drafted=(1,), accepted=(2,))),
        "accepted 2 of 1 guesses",
    ),
    "guesses of plain decoding": (passes(lambda p: replace(p, drafted=(1,), accepted=(1,))), "expected 0 at most"),
    "a kind of its own": (passes(lambda p: replace(p, kind="magic")), "kind 'magic'; expected one of prefill"),
    "more reused than there is": (counted(reused_tokens=13.0), "reused 13 tokens; expected at most the 12"),
    "a count of nan": (counted(cache=math.nan), "counts nan of 'cache'"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_log_that_cannot_be_is_refused_with_its_rule(lie: str) -> None:
    edit, says = LIES[lie]
    assert says in (refusal(edit) or "")


def test_an_honest_log_is_none_of_these() -> None:
    assert refusal(lambda _, generated: generated) is None


def test_a_refused_log_leaves_no_time() -> None:
    found = edited(LIES["twice the tokens"][0])
    assert (found.outcome, found.median_ns, found.launches) == (Outcome.FAILED, None, ())
    assert LIES["twice the tokens"][1] in (found.reason or "")


def test_a_log_of_an_earlier_call_is_refused() -> None:
    before = Recorder((0.0, 0.0), [[1] * 6] * 2)
    for request, row in enumerate(ANSWER.tolist()):
        before.arrived(request, row)

    def stale(inputs: GenerateInputs, generated: GenerateOutputs) -> GenerateOutputs:
        return replace(generated, log=before.log())

    def kept(inputs: GenerateInputs, generated: GenerateOutputs) -> GenerateOutputs:
        inputs.desk.recorder = before
        return stale(inputs, generated)

    assert "not the one that the recorder of this call kept" in (refusal(stale) or "")
    assert "its log is that of an earlier call" in (refusal(kept) or "")


class BegunLate(EngineAdapter):
    """Has its answer before it begins its log, and tells of it then."""

    def run(self, inputs: GenerateInputs, server: Any) -> GenerateOutputs:
        tokens = super().run(inputs, server).tokens
        time.sleep(0.02)
        recorder = inputs.begin()
        for request, row in enumerate(tokens.tolist()):
            recorder.arrived(request, row)
        return GenerateOutputs(tokens, recorder.log())


def test_a_log_that_is_begun_late_began_with_its_call() -> None:
    found = measured(BegunLate)
    assert found.outcome is Outcome.PASSED, found.reason
    assert value(found, "ttft_ns") >= 20e6


class Early(EngineAdapter):
    """Tells of numbers of tokens before there are any."""

    def run(self, inputs: GenerateInputs, server: Any) -> GenerateOutputs:
        recorder = inputs.begin()
        for request in range(2):
            recorder.arrived(request, 4)
        time.sleep(0.06)
        served = server.serve(Recorder(inputs.arrivals_s, inputs.prompts.tolist()), inputs.seed)
        return GenerateOutputs(served, recorder.log())


class Numbers(EngineAdapter):
    """Tells of numbers of tokens alone, when they come."""

    def run(self, inputs: GenerateInputs, server: Any) -> GenerateOutputs:
        recorder = inputs.begin()
        told = recorder.arrived
        recorder.arrived = lambda request, ids=1: told(request, len(ids))  # type: ignore[method-assign, arg-type]
        return GenerateOutputs(server.serve(recorder, inputs.seed), recorder.log())


def test_numbers_without_ids_give_no_times_of_tokens() -> None:
    found = measured(Early)
    assert found.outcome is Outcome.FAILED
    assert "told by its number" in (found.reason or "")
    found = measured(Numbers)
    assert found.outcome is Outcome.PASSED, found.reason
    assert [value(found, name) for name in ("ttft_ns", "itl_ns", "tpot_ns")] == [None] * 3
    assert value(found, "output_tok_per_s") > 0
    assert any("numbers of tokens without their ids" in flag for flag in found.flags)


def test_a_chunk_without_a_token_is_none() -> None:
    """A role before the first token, and one to keep the connection, change no figure."""
    chatty = requests(
        lambda r: replace(r, times_ns=(1.0, *r.times_ns, r.times_ns[-1]), tokens=(0, *r.tokens, r.tokens[-1]))
    )
    found = edited(chatty)
    assert found.outcome is Outcome.PASSED, found.reason
    assert value(found, "ttft_ns") > 1e3


class OneFails(EngineAdapter):
    """Gives no answer to its first request, and says why."""

    fail: tuple[int, ...] = (0,)

    def run(self, inputs: GenerateInputs, server: Any) -> GenerateOutputs:
        generated = super().run(inputs, server)
        recorder = inputs.desk.recorder
        assert recorder is not None
        for request in self.fail:
            recorder.failed(request, "out of pages")
            generated.tokens[request, 2:] = -1
        return GenerateOutputs(generated.tokens, recorder.log())


class AllFail(OneFails):
    """Answers nothing."""

    fail = (0, 1)


def test_a_request_that_fails_is_counted_and_has_no_latency() -> None:
    found = measured(OneFails)
    assert found.outcome is Outcome.PASSED, found.reason
    calls = len(found.values("latency"))
    assert value(found, "failed_requests") == calls
    assert f"{calls} of {2 * calls} requests failed: they are counted, and have no latency" in found.flags
    assert "request 0 failed: out of pages" in found.flags
    none = measured(AllFail)
    assert none.outcome is Outcome.FAILED
    assert "out of pages" in (none.reason or "")


def test_raw_data_is_held_against_the_rules_by_who_does_not_trust() -> None:
    """Series as a process hands them over: whatever it says, they are read again."""
    recorder = Recorder((0.0, 0.0), [[1] * 6] * 2)
    for request in range(2):
        recorder.arrived(request, [1, 2, 3, 4])
    log = recorder.log()
    call_ns = recorder.elapsed_ns()
    series = (Series("latency", "ns", "wall", "lower", (call_ns,)), *series_of(log))
    assert refute(CASE, range(2), [(series, call_ns)], 0.0).refusal is None
    last = log.requests[1].times_ns[-1]
    assert "expected all within the call" in str(refute(CASE, range(2), [(series, last - 1)], 0.0).refusal)
    assert refute(CASE, range(2), [(series, last - 1)], 1.0).refusal is None, "what the clock cannot tell"
    assert "timed call 1 has no log" in str(refute(CASE, range(2), [(series, call_ns), ((), 1.0)], 0.0).refusal)
    damaged = tuple(replace(s, values=s.values[:-1]) if s.quantity == "event_time" else s for s in series)
    assert "cannot be" in str(refute(CASE, range(2), [(damaged, call_ns)], 0.0).refusal)
    strange = tuple(replace(s, values=(9.0,) * 2) if s.quantity == "event_request" else s for s in series)
    assert "event of request 9 where there are 2" in str(refute(CASE, range(2), [(strange, call_ns)], 0.0).refusal)
    tokens = replace(log, requests=tuple(replace(r, times_ns=(1.0, 2.0), tokens=(1, 4)) for r in log.requests))
    again = [(series_of(tokens), 1e9)] * 2
    assert "is that of call 0" in str(refute(CASE, range(2), again, 0.0).refusal)


@pytest.mark.parametrize(
    "case_id",
    [
        "toy-random-P8-N9-prompt_lookup.3-fp32",
        "toy-random-B2-R3-P8-N9-draft_model.2-fp32",
        "toy-random-P8-N5-beam.3-fp32",
        "toy-random-B2-R3-P8-N5-sample.t0.8-fp32-paged.16-int8_token",
        "toy-random-B2-R3-P8-N5-paged.16-fp32-continuous-poisson.200",
    ],
)
def test_logs_of_our_decoder_are_not_refused(case_id: str) -> None:
    case = GenerateCase.parse(case_id)
    inputs = GENERATE.make_inputs(case, NORMAL_DRAW, 3, CPU)
    server = EngineAdapter().prepare(case, inputs)
    begun = time.perf_counter_ns()
    generated = EngineAdapter().run(inputs, server)
    elapsed_ns = float(time.perf_counter_ns() - begun)
    assert GENERATE.attest is not None
    known, notes = GENERATE.attest(case, inputs, generated, Span(begun, elapsed_ns, 0.0))
    assert notes == ()
    assert all(r.ids is not None and not r.numbers_only for r in known.log.requests)
    assert refute(case, [3], [(series_of(known.log), elapsed_ns)], 0.0) == Attestation()
