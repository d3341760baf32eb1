"""What the log of a call of `serve` must be, so that a figure may be made from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from attnlab.bench import units
from attnlab.bench.llm.generation.logs import CallLog, RequestLog
from attnlab.bench.llm.generation.rules import fault as fault_of_any
from attnlab.bench.llm.generation.served import Delivery, LoadLog
from attnlab.bench.ops.serve.case import TO_THE_END, WHOLE

if TYPE_CHECKING:
    from attnlab.bench.ops.serve.case import ServeCase

ROUNDING_NS = 10 * units.NS_PER_US  # by which a due time may be off: it is kept in whole nanoseconds, and in seconds


def fault(
    case: ServeCase,
    seeds: Sequence[int],
    call: CallLog,
    load: LoadLog,
    elapsed_ns: float | None = None,
    slack_ns: float = 0.0,
) -> str | None:
    """The first rule that a log breaks, as what was got and what was expected; None where it breaks none.

    seeds: of the sets of inputs that the call may be on. elapsed_ns: how long the call took by the harness's clock.
    """
    why = fault_of_any(call, None, elapsed_ns, slack_ns)
    return why or next(_faults(case, seeds, call, load), None)


def _faults(case: ServeCase, seeds: Sequence[int], call: CallLog, load: LoadLog) -> Iterator[str]:
    if len(call.requests) != case.requests or len(load.deliveries) != case.requests:
        yield f"it has {len(call.requests)} requests; expected each of {case.requests} once"
        return
    if call.passes:
        yield "it has passes of a model; expected none: what a server computes is not known to its client"
    for number, (request, sent) in enumerate(zip(call.requests, load.deliveries, strict=True)):
        for found in (*_of_tokens(case, seeds, number, request), *_of_way(request, sent)):
            yield f"request {number} {found}"
    yield from _of_arrivals(case, seeds, call.requests)
    yield from _of_turns(case, call.requests)
    yield from _of_concurrency(case, call.requests, load.deliveries)


def _of_tokens(case: ServeCase, seeds: Sequence[int], number: int, request: RequestLog) -> Iterator[str]:
    if request.failure is not None:
        return
    count = request.tokens[-1] if request.tokens else 0
    wanted = {case.lengths_of(seed)[number][1] for seed in seeds}
    fits = count in wanted if case.ending == TO_THE_END else 0 < count <= max(wanted)
    if not fits:
        most = " or ".join(map(str, sorted(wanted)))
        yield f"has {count} tokens in the log; expected {'' if case.ending == TO_THE_END else 'at most '}{most}"
    if case.answer == WHOLE and len(request.chunks) > 1:
        yield f"came in {len(request.chunks)} pieces; expected one, as it was asked for whole"


def _of_way(request: RequestLog, sent: Delivery) -> Iterator[str]:
    """It is sent when it is due or later, answered after it was sent, and its tokens come after the answer's head."""
    if request.failure is None and sent.sent_ns is None:
        yield "has an answer, and was never sent"
        return
    if sent.attempts < 1 and request.failure is None:
        yield f"has an answer after {sent.attempts} attempts"
    steps = [("is due", request.arrival_ns), ("is sent", sent.sent_ns), ("has the head of its answer", sent.headers_ns)]
    if request.times_ns:
        steps.append(("has its first token", request.times_ns[0]))
    known = [(what, at_ns) for what, at_ns in steps if at_ns is not None]
    for (before, earlier_ns), (what, later_ns) in pairwise(known):
        if later_ns < earlier_ns - ROUNDING_NS:
            yield f"{what} at {_time(later_ns)}, and {before} at {_time(earlier_ns)}; expected it after that"


def _of_arrivals(case: ServeCase, seeds: Sequence[int], requests: Sequence[RequestLog]) -> Iterator[str]:
    """Of an open loop requests are due as the case says, whatever became of those before."""
    if not case.load.is_open:
        return
    firsts = [number for number, before in enumerate(case.follows) if before is None]
    sent = [n for n in firsts if requests[n].failure is None or requests[n].times_ns]
    if not sent:
        return
    due_ns = [requests[n].arrival_ns for n in sent]
    for seed in seeds:
        wanted_ns = [units.seconds_to_ns(case.due_s(seed)[n]) for n in sent]
        offsets = [due - wanted for due, wanted in zip(due_ns, wanted_ns, strict=True)]
        if max(offsets) - min(offsets) <= ROUNDING_NS:
            return
    yield_from = ", ".join(units.format_time(at_ns - due_ns[0]) for at_ns in due_ns[1:4])
    yield f"its requests are due {yield_from} … after the first; expected the times of {case.load.write()}"


def _of_turns(case: ServeCase, requests: Sequence[RequestLog]) -> Iterator[str]:
    """A turn comes when the one before was answered, and its reader has thought."""
    for number, before in enumerate(case.follows):
        if before is None or not requests[number].times_ns or not requests[before].times_ns:
            continue
        due_ns = requests[before].times_ns[-1] + units.seconds_to_ns(case.think_s(number))
        if requests[number].arrival_ns < due_ns - ROUNDING_NS:
            yield (
                f"request {number} is due at {_time(requests[number].arrival_ns)}; expected {_time(due_ns)} or later, "
                f"as it follows request {before}"
            )


def _of_concurrency(case: ServeCase, requests: Sequence[RequestLog], ways: Sequence[Delivery]) -> Iterator[str]:
    """In a closed loop no more are under way than were asked for."""
    if case.at_once is None:
        return
    spans = [
        (way.sent_ns, request.times_ns[-1])
        for request, way in zip(requests, ways, strict=True)
        if way.sent_ns is not None and request.times_ns
    ]
    events = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    under_way = most = 0
    for _, change in events:
        under_way += change
        most = max(most, under_way)
    if most > case.at_once:
        yield f"it had {most} requests under way at once; expected {case.at_once} at most"


def _time(ns: float) -> str:
    return f"{units.format_time(ns)} ({ns:.0f} ns)"
