"""Holds what a call of `generate` says of itself against what the harness knows: by the process that made the call, and
again, from raw data, by those who do not trust it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from attnlab.bench import units
from attnlab.bench.contract.operator_spec import Attestation, Span
from attnlab.bench.llm.generation.decoding import BEAM
from attnlab.bench.llm.generation.events import log_in
from attnlab.bench.llm.generation.logs import NO_TOKEN, CallLog, RequestLog
from attnlab.bench.llm.generation.rules import Terms, fault
from attnlab.bench.llm.generation.synthetic import NOTE
from attnlab.bench.ops.generate.cost import cache_bytes, pass_bytes
from attnlab.bench.store.records import Series

if TYPE_CHECKING:
    from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs, GenerateOutputs


def terms_of(case: GenerateCase, arrivals_s: Sequence[Sequence[float]]) -> Terms:
    """What a case asks of the log of a call whose requests come as one of these."""
    guesses = case.decoding.guesses
    beams = (case.decoding.number or 0) + 1 if case.decoding.method == BEAM else 0
    lengths = [case.total + guesses + 1] * (max(case.batch, beams) + 1)  # one more, whose prompt is read beside
    cached = cache_bytes(case.config, case.placing, case.format, case.torch_dtype, lengths, lengths)  # all see
    return Terms(
        requests=case.requests,
        prompt_tokens=case.prompt_len,
        new_tokens=case.new_tokens,
        arrivals_ns=tuple(tuple(map(units.seconds_to_ns, times)) for times in arrivals_s),
        guesses=guesses,
        most_bytes=float(pass_bytes(case.config, case.torch_dtype, case.weights) + cached),
    )


def attest(
    case: GenerateCase, inputs: GenerateInputs, returned: GenerateOutputs, span: Span
) -> tuple[GenerateOutputs, tuple[str, ...]]:
    """What a call returned, with the log that its recorder kept, and notes; times are since the call began.

    Raises ValueError where the log breaks a rule, is not the recorder's, or does not hold the answer's tokens.
    """
    recorder, inputs.desk.recorder = inputs.desk.recorder, None
    given = getattr(returned, "log", None)
    terms = terms_of(case, [inputs.arrivals_s])
    why = fault(given, terms, span.elapsed_ns, span.resolution_ns)
    if why is not None or not isinstance(given, CallLog):
        raise ValueError(f"its log cannot be: {why}")
    if recorder is None:
        raise ValueError("its log is of no recorder of this call; expected run to call inputs.begin() and to keep it")
    if recorder.asked_ns < span.begun_ns:
        raise ValueError("its log is that of an earlier call; expected run to call inputs.begin() in each")
    log = recorder.log()
    _same(given, log)
    _holds(log, returned.tokens.tolist())
    late_ns = float(max(0, recorder.asked_ns - span.begun_ns))
    log = replace(given, requests=tuple(_as_known(request, late_ns) for request in log.requests))
    why = fault(log, terms, span.elapsed_ns, span.resolution_ns)
    if why is not None:
        raise ValueError(f"its log cannot be: {why}")
    if all(r.failure is not None for r in log.requests):
        raise ValueError(f"all {len(log.requests)} requests of a call failed: {log.requests[0].failure}")
    notes = [NOTE] if case.decoding.synthetic is not None else []
    failures = [f"request {n} failed: {r.failure}" for n, r in enumerate(log.requests) if r.failure is not None]
    return replace(returned, log=log), (*notes, *failures[:1])


def _as_known(request: RequestLog, late_ns: float) -> RequestLog:
    """A log that was begun late began with its call all the same; of tokens without ids the number is known."""
    times_ns = tuple(time_ns + late_ns for time_ns in request.times_ns)
    return replace(request, times_ns=times_ns, numbers_only=request.ids is None)


def _same(given: CallLog, kept: CallLog) -> None:
    """Chunks without a token may be left out or put in; nothing else may: not of requests, passes or counts."""
    for number, (one, other) in enumerate(zip(given.requests, kept.requests, strict=True)):
        if one.failure != other.failure:
            raise ValueError(_differs(number, "failure", str(one.failure), str(other.failure)))
        pairs = zip_longest(one.chunks, other.chunks)
        place, (got, kept_there) = next(((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1]), (0, (0, 0)))
        if got != kept_there:
            raise ValueError(_differs(number, f"chunk {place}", _told(got), _told(kept_there)))
    for what, mine, its in (("passes", given.passes, kept.passes), ("counts", given.counts, kept.counts)):
        if mine != its:
            raise ValueError(
                f"its log is not the one that the recorder of this call kept: it has other {what}; expected "
                f"recorder.log() as it is, with recorder.ran(pass) and recorder.count(name, value)"
            )


def _told(chunk: Any) -> str:
    return "none" if chunk is None else f"{chunk[1]} tokens by {chunk[0]:.0f} ns"


def _differs(request: int, what: str, got: str, kept: str) -> str:
    return (
        f"its log is not the one that the recorder of this call kept: {what} of request {request} is {got}, the "
        f"recorder has {kept}; expected recorder.log() as it is"
    )


def _holds(log: CallLog, tokens: list[list[int]]) -> None:
    """The answer's ids are those that were told as they came, and a request that failed has none from some place on."""
    for number, (request, row) in enumerate(zip(log.requests, tokens, strict=True)):
        if request.failure is not None:
            if row[-1] != NO_TOKEN:
                raise ValueError(
                    f"request {number} failed by its log ({request.failure}), and has an answer; expected "
                    f"{NO_TOKEN} from where it ends"
                )
            continue
        if NO_TOKEN in row:
            raise ValueError(
                f"request {number} has no token at place {row.index(NO_TOKEN)} of its answer, and no failure in its "
                f"log; expected recorder.failed(request, reason)"
            )
        if request.ids is not None and list(request.ids) != row:
            place = next(n for n, (a, b) in enumerate(zip(request.ids, row, strict=True)) if a != b)
            raise ValueError(
                f"its log does not hold the answer's tokens: token {place} of request {number} came as "
                f"{request.ids[place]}, and is {row[place]} in the answer"
            )


def refute(
    case: GenerateCase, seeds: Sequence[int], calls: Sequence[tuple[tuple[Series, ...], float]], slack_ns: float
) -> Attestation:
    """What is to be said of the logs of timed calls, from their series and how long each took.

    seeds: of the sets of inputs that calls rotated through.
    """
    terms = terms_of(case, [case.arrivals.times_s(case.requests, seed) for seed in seeds])
    seen: dict[tuple[object, ...], int] = {}
    requests: list[RequestLog] = []
    for number, (series, elapsed_ns) in enumerate(calls):
        try:
            log = log_in(series)
        except ValueError as error:
            return Attestation(f"the log of timed call {number} cannot be: {error}")
        if log is None:
            return Attestation(f"timed call {number} has no log; expected one of each")
        why = fault(log, terms, elapsed_ns, slack_ns)
        if why is not None:
            return Attestation(f"the log of timed call {number} cannot be: {why}")
        events = tuple((r.times_ns, r.tokens) for r in log.requests)
        before = seen.setdefault(events, number)
        if before != number and len({time for times, _ in events for time in times}) > 1:
            return Attestation(f"the log of timed call {number} is that of call {before}; expected one of its own")
        requests += log.requests
    failed = sum(r.failure is not None for r in requests)
    if requests and failed == len(requests):
        return Attestation(f"all {failed} requests of its timed calls failed")
    return Attestation(None, tuple(_notes(case, requests, failed)))


def _notes(case: GenerateCase, requests: Sequence[RequestLog], failed: int) -> Iterator[str]:
    if case.decoding.synthetic is not None:
        yield NOTE
    if failed:
        yield f"{failed} of {len(requests)} requests failed: they are counted, and have no latency"
    if any(r.numbers_only for r in requests):
        yield "its log has numbers of tokens without their ids, so when they came is not known: no TTFT and no gaps"
