"""Holds what a call of `serve` says of itself against what the harness knows: by the process that made the call, and
again, from raw data, by those who do not trust it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from attnlab.bench.contract.operator_spec import Attestation, Span
from attnlab.bench.llm.generation.events import log_in
from attnlab.bench.llm.generation.logs import RequestLog
from attnlab.bench.llm.generation.served import LATE_NS, Delivery, LoadLog, load_in, p99
from attnlab.bench.ops.serve.case import AS_IT_IS, COLD, STREAM
from attnlab.bench.ops.serve.loads import CONCURRENCY
from attnlab.bench.ops.serve.logs import call_log, load_log
from attnlab.bench.ops.serve.rules import fault
from attnlab.bench.store.records import Series
from attnlab.bench.text import count
from attnlab.bench.units import format_time

if TYPE_CHECKING:
    from attnlab.bench.ops.serve.case import ServeCase
    from attnlab.bench.ops.serve.inputs import ServeInputs, ServeOutputs
    from attnlab.bench.serving.log import Served

OTHER_INPUTS = (
    "it drove other inputs than the call had; expected run to call inputs.drive(…) of those that it was given"
)
MOST_COLD, LEAST_WARM = 0.5, 0.25  # shares of prompts that a server had; a template's beginning is always alike
MANY_TOKENS = 3  # of which one may expect several pieces
FEW_UNSEEN = 2  # tokens that may show nothing, such as one that ends an answer
NOT_KEPT = "its log is not the one that the client kept; expected run to return what inputs.drive(…) gives"


def attest(
    case: ServeCase, inputs: ServeInputs, returned: ServeOutputs, span: Span
) -> tuple[ServeOutputs, tuple[str, ...]]:
    """What a call returned, with when its load began, and notes.

    Raises ValueError where it is not what the client of this call kept, or where its log breaks a rule: so no time that
    a server, or an endpoint, tells of itself can stand for one that the client took.
    """
    kept, inputs.desk.outputs = inputs.desk.outputs, None
    if kept is None or returned is not kept:
        raise ValueError(NOT_KEPT)
    if kept.of is not inputs:
        raise ValueError(OTHER_INPUTS)
    offset_ns = float(kept.log.begun_ns - span.begun_ns)
    if offset_ns < 0:
        raise ValueError("its log is that of an earlier call; expected run to call inputs.drive(…) in each")
    known = replace(kept, offset_ns=offset_ns)
    call, load = call_log(known), load_log(known)
    failures = [(n, r.failure) for n, r in enumerate(call.requests) if r.failure is not None]
    if len(failures) == len(call.requests):
        raise ValueError(f"all {len(failures)} requests of a call failed: {failures[0][1]}")
    at_once = sum(one.failure is None and not one.streamed for one in kept.log.requests)
    if at_once and case.answer == STREAM and not inputs.asks:
        raise ValueError(f"{count(at_once, 'answer')} came whole, though streams were asked for; take answer=whole")
    why = fault(case, [inputs.seed], call, load, span.elapsed_ns, span.resolution_ns)
    if why is not None:
        raise ValueError(f"its log cannot be: {why}")
    first = (f"request {failures[0][0]} failed: {failures[0][1]}",) if failures else ()
    return known, (*first, *_held_up(kept), *_doubtful(kept))


def _held_up(kept: ServeOutputs) -> Iterator[str]:
    if kept.log.held_up:
        yield "the client was held up by more than 1 ms at p99: times at which tokens came may be so much too late"


def _doubtful(kept: ServeOutputs) -> Iterator[str]:
    if not kept.by_client:
        yield "its times are told by the implementation itself: no client of ours took them at a socket"
    answered = [one for one in kept.log.requests if one.failure is None and one.usage is not None]
    strange = sum(_unseen_tokens(one) for one in answered)
    if strange:
        yield (
            f"{count(strange, 'answer')} of {len(answered)} with more tokens, by the server's usage, than bytes of "
            "text: most of its tokens were not seen"
        )


def _unseen_tokens(one: Served) -> bool:
    assert one.usage is not None
    seen = len(f"{one.reasoning}{one.text}{one.tool}".encode())
    hidden = 0 if one.reasoning else one.usage.reasoning or 0
    return not one.ids and (one.usage.completion or 0) - hidden > seen + FEW_UNSEEN


def refute(
    case: ServeCase, seeds: Sequence[int], calls: Sequence[tuple[tuple[Series, ...], float]], slack_ns: float
) -> Attestation:
    """What is to be said of the logs of timed calls, from their series and how long each took."""
    requests: list[RequestLog] = []
    loads: list[LoadLog] = []
    seen: dict[tuple[object, ...], int] = {}
    for number, (series, elapsed_ns) in enumerate(calls):
        try:
            call, load = log_in(series), load_in(series)
        except ValueError as error:
            return Attestation(f"the log of timed call {number} cannot be: {error}")
        if call is None or load is None:
            return Attestation(f"timed call {number} has no log; expected one of each")
        why = fault(case, seeds, call, load, elapsed_ns, slack_ns)
        if why is not None:
            return Attestation(f"the log of timed call {number} cannot be: {why}")
        events = tuple((r.times_ns, r.tokens) for r in call.requests)
        before = seen.setdefault(events, number)
        if before != number and any(times for times, _ in events):
            return Attestation(f"the log of timed call {number} is that of call {before}; expected one of its own")
        requests += call.requests
        loads.append(load)
    failed = sum(r.failure is not None for r in requests)
    if requests and failed == len(requests):
        return Attestation(f"all {failed} requests of its timed calls failed")
    return Attestation(None, tuple(_notes(case, requests, failed, loads)))


def _notes(case: ServeCase, requests: Sequence[RequestLog], failed: int, loads: Sequence[LoadLog]) -> Iterator[str]:
    lumped = [r for r in requests if r.failure is None and r.tokens and 2 * len(r.chunks) < r.tokens[-1] > MANY_TOKENS]
    if case.answer == STREAM and lumped:
        yield (
            f"{count(len(lumped), 'answer')} of {len(requests) - failed} came in fewer pieces than half their tokens: "
            "gaps between tokens are shares of the gaps between pieces"
        )
    if failed:
        yield f"{failed} of {len(requests)} requests failed: they are counted, and have no latency"
    p99_ns = p99(lag for load in loads for lag in load.lag_ns) or 0.0
    if p99_ns > LATE_NS:
        yield f"the client sent late, by {format_time(p99_ns)} at p99: the load was not quite the one asked for"
    ways = [way for load in loads for way in load.deliveries]
    answered = [way for way, r in zip(ways, requests, strict=True) if r.failure is None]
    yield from _of_cache(case, requests, ways)
    if case.load.kind == CONCURRENCY and case.load.at_once > case.requests:
        yield f"no more than {count(case.requests, 'request')} under way at once, for there are no more in the case"
    again = sum(max(0, way.attempts - 1) for way in ways)
    if again:
        yield f"{count(again, 'request')} sent again: their latency counts from when they were due first"
    for by in ("tokenizer", "chunks"):
        counted = sum(way.counted_by == by for way in answered)
        if counted:
            how = "by our tokenizer" if by == "tokenizer" else "by chunks, each for one"
            yield f"tokens of {counted} of {len(answered)} answers are counted {how}: the server tells no usage"


def _of_cache(case: ServeCase, requests: Sequence[RequestLog], ways: Sequence[Delivery]) -> Iterator[str]:
    """Whether the server says that its prefix cache was in another state than was asked for."""
    if case.prefix == AS_IT_IS or any(case.shared):
        return
    known = tokens = 0
    for number, (request, way) in enumerate(zip(requests, ways, strict=True)):
        begins = case.follows[number % case.requests] is None
        if begins and request.answered and way.cached_tokens is not None:
            known += way.cached_tokens
            tokens += request.prompt_tokens
    share = known / tokens if tokens else None
    if share is not None and (share > MOST_COLD if case.prefix == COLD else share < LEAST_WARM):
        state = "new to the server" if case.prefix == COLD else "in the server's prefix cache"
        yield f"prompts were to be {state}, which says that it had {share:.0%} of their tokens"
