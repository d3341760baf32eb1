"""What the log of a call of `generate` must be, so that a figure may be made from it: the rules, and who breaks them.

A log rises, begins after the request's arrival, ends within the call, and holds exactly the answer's tokens. What it
says of passes, guesses and counts stays within what the case and the call allow.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from attnlab.bench import units
from attnlab.bench.llm.generation.logs import PASSES, CallLog, Pass, RequestLog


@dataclass(frozen=True)
class Terms:
    """What a case asks of the log of each of its calls.

    arrivals_ns: when requests come, of each set of inputs that calls may be on. guesses: the most that one sequence has
    judged in a pass. most_bytes: the most that a pass of the model has to read.
    """

    requests: int
    prompt_tokens: int
    new_tokens: int
    arrivals_ns: tuple[tuple[float, ...], ...]
    guesses: int
    most_bytes: float


def fault(log: Any, terms: Terms | None = None, elapsed_ns: float | None = None, slack_ns: float = 0.0) -> str | None:
    """The first rule that a log breaks, as what was got and what was expected; None where it breaks none.

    elapsed_ns: how long its call took by the harness's clock, slack_ns what that clock cannot tell from nothing. What
    is None is not held against it.
    """
    last_ns = math.inf if elapsed_ns is None else elapsed_ns + slack_ns
    return next(_faults(log, terms, last_ns), None)


def _faults(log: Any, terms: Terms | None, last_ns: float) -> Iterator[str]:
    if not isinstance(log, CallLog):
        yield f"it is a {type(log).__name__}; expected a CallLog, as recorder.log() gives it"
        return
    if not isinstance(log.requests, tuple) or not all(isinstance(r, RequestLog) for r in log.requests):
        yield "its requests are no tuple of RequestLog; expected them as recorder.log() gives them"
        return
    if terms is not None and len(log.requests) != terms.requests:
        yield f"it has {len(log.requests)} requests; expected each of {terms.requests} once"
        return
    for number, request in enumerate(log.requests):
        for found in _of_request(request, terms, last_ns):
            yield f"request {number} {found}"
    if terms is not None:
        arrivals = tuple(r.arrival_ns for r in log.requests)
        if arrivals not in terms.arrivals_ns:
            wanted = _times(terms.arrivals_ns[0])
            yield f"its requests arrive at {_times(arrivals)}; expected {wanted}, as the case says"
    yield from _of_end(log.requests, last_ns)
    yield from _of_passes(log, terms, last_ns)
    yield from _of_counts(log, terms)


def _times(times_ns: Sequence[float]) -> str:
    told = ", ".join(units.format_time(ns) for ns in times_ns[:MOST_TOLD])
    return f"{told}, …" if len(times_ns) > MOST_TOLD else told


MOST_TOLD = 4  # times of many
AFTER_SHARE, AFTER_NS = 0.2, 20 * units.NS_PER_MS  # of a call, for what it does after its last token


def _of_request(r: RequestLog, terms: Terms | None, last_ns: float) -> Iterator[str]:
    if not _number(r.arrival_ns) or r.arrival_ns < 0:
        yield f"arrives at {r.arrival_ns} ns; expected a finite time of 0 or more"
        return
    if terms is not None and r.prompt_tokens != terms.prompt_tokens:
        yield f"has a prompt of {r.prompt_tokens} tokens; expected {terms.prompt_tokens}"
    if len(r.times_ns) != len(r.tokens):
        yield f"has {len(r.times_ns)} times and {len(r.tokens)} numbers of tokens; expected one for each"
        return
    yield from _of_events(r, last_ns)
    yield from _of_tokens(r, terms)
    for what, part_ns in (("tokenising", r.tokenise_ns), ("choosing its first token", r.first_sample_ns)):
        if part_ns is not None and not (_number(part_ns) and 0 <= part_ns <= last_ns):
            yield f"says that {what} took {part_ns} ns; expected 0 or more, within the call of {_time(last_ns)}"


def _of_events(r: RequestLog, last_ns: float) -> Iterator[str]:
    """Times rise, from the arrival to the call's end."""
    if _rise_at_once(r.times_ns, r.arrival_ns, last_ns):
        return
    before = r.arrival_ns
    for time_ns, count in zip(r.times_ns, r.tokens, strict=True):
        if not _number(time_ns):
            yield f"has an event at {time_ns} ns; expected a finite time"
            return
        if time_ns < r.arrival_ns or (time_ns == r.arrival_ns and count):
            yield f"has an event at {_time(time_ns)}; expected all after its arrival at {_time(r.arrival_ns)}"
            return
        if time_ns < before:
            yield f"has an event at {_time(time_ns)} after one at {_time(before)}; expected times that rise"
            return
        if time_ns > last_ns:
            yield f"has an event at {_time(time_ns)}; expected all within the call, which took {_time(last_ns)}"
            return
        before = time_ns


def _of_end(requests: Sequence[RequestLog], last_ns: float) -> Iterator[str]:
    """Where only numbers of tokens were told, the last came when the call was about to end."""
    if math.isinf(last_ns) or not any(r.numbers_only for r in requests):
        return
    ends = [r.chunks[-1][0] for r in requests if r.answered]
    if ends and last_ns - max(ends) > AFTER_SHARE * last_ns + AFTER_NS:
        yield (
            f"its last token came at {_time(max(ends))}, told by its number, in a call of {_time(last_ns)}; expected "
            f"it towards the end, or ids: recorder.arrived(request, ids)"
        )


def _of_tokens(r: RequestLog, terms: Terms | None) -> Iterator[str]:
    """Their number rises, to that of the answer."""
    before = 0
    if r.tokens and {*map(type, r.tokens)} == {int} and r.tokens[0] >= 0 and _rise(r.tokens):
        before = r.tokens[-1]
    else:
        for count in r.tokens:
            if not _whole(count) or count < 0:
                yield f"has {count!r} tokens at an event; expected a whole number"
                return
            if count < before:
                yield f"has {count} tokens at an event after {before}; expected numbers that rise"
                return
            before = int(count)
    if terms is None:
        return
    if r.failure is None and before != terms.new_tokens:
        hint = "" if before else ", or its failure by recorder.failed(request, reason)"
        yield f"has {before} tokens in the log; expected the {terms.new_tokens} of its answer{hint}"
    if r.failure is not None and before > terms.new_tokens:
        yield f"failed after {before} tokens; expected at most the {terms.new_tokens} of an answer"
    if r.ids is not None and len(r.ids) != before:
        yield f"has {len(r.ids)} ids for {before} tokens; expected one for each"


def _of_passes(log: CallLog, terms: Terms | None, last_ns: float) -> Iterator[str]:
    for one in log.passes:
        if one.kind not in PASSES:
            yield f"it has a pass of kind {one.kind!r}; expected one of {', '.join(PASSES)}"
            return
        if not (_number(one.elapsed_ns) and one.elapsed_ns > 0):
            yield f"it has a {one.kind} pass of {one.elapsed_ns} ns; expected a time above zero"
            return
        if not (_number(one.read_bytes) and one.read_bytes >= 0 and _number(one.rows) and one.rows >= 0):
            yield f"it has a {one.kind} pass of {one.rows} rows that read {one.read_bytes} bytes; expected 0 or more"
            return
        if terms is not None and one.kind != "draft" and one.read_bytes > terms.most_bytes:
            most = units.format_bytes(terms.most_bytes)
            yield f"it has a {one.kind} pass that read {units.format_bytes(one.read_bytes)}; expected {most} at most"
            return
    spent_ns = sum(one.elapsed_ns for one in log.passes)
    if spent_ns > last_ns:
        yield f"its passes took {_time(spent_ns)}; expected them within the call, which took {_time(last_ns)}"
    yield from _of_guesses(log.passes, log.requests, terms)


def _of_guesses(passes: Sequence[Pass], requests: Sequence[RequestLog], terms: Terms | None) -> Iterator[str]:
    """Of each pass no more are accepted than were guessed, and of all no more than there are tokens."""
    if any(len(one.drafted) != len(one.accepted) for one in passes):
        yield "it has passes with other numbers of guesses than of accepted ones; expected both for each sequence"
        return
    pairs = [pair for one in passes for pair in zip(one.drafted, one.accepted, strict=True)]
    for drafted, accepted in pairs:
        if not 0 <= accepted <= drafted:
            yield f"it accepted {accepted} of {drafted} guesses; expected no more than were guessed"
            return
    if terms is None or not pairs:
        return
    most = max(drafted for drafted, _ in pairs)
    if most > terms.guesses:
        yield f"it judged {most} guesses of a sequence in a pass; expected {terms.guesses} at most"
    made = sum(accepted + 1 for drafted, accepted in pairs if drafted)
    room = terms.requests * (terms.new_tokens + terms.guesses)  # a last pass may go beyond the answer's end
    if made > room:
        yield f"its passes with guesses made {made} tokens; expected {room} at most, in {terms.requests} answers"


def _of_counts(log: CallLog, terms: Terms | None) -> Iterator[str]:
    for name, value in log.counts.items():
        if not isinstance(name, str) or not _number(value) or value < 0:
            yield f"it counts {value} of {name!r}; expected a finite number of 0 or more"
            return
    reused = log.counts.get("reused_tokens", 0)
    if terms is not None and not log.counts.get("preemptions") and reused > terms.requests * terms.prompt_tokens:
        yield f"it reused {reused:g} tokens; expected at most the {terms.requests * terms.prompt_tokens} of all prompts"


def _rise_at_once(times_ns: Sequence[float], arrival_ns: float, last_ns: float) -> bool:
    """Whether all times are as they have to be; where they are not, it takes a closer look to say why."""
    if not times_ns or {*map(type, times_ns)} != {float} or not _rise(times_ns):
        return False
    return arrival_ns < times_ns[0] and times_ns[-1] <= last_ns and math.isfinite(times_ns[-1])


def _rise(values: Sequence[float]) -> bool:
    """Whether none is less than the one before it."""
    return all(map(operator.le, values, values[1:]))


def _whole(value: object) -> bool:
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def _number(value: object) -> bool:
    if type(value) is float or type(value) is int:  # most are, and asking for the class of a number is slow
        return math.isfinite(value)
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _time(ns: float) -> str:
    """To the nanosecond where three digits say too little."""
    return f"{units.format_time(ns)} ({ns:.0f} ns)"
