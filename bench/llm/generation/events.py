"""The raw log of a generation as series of a burst, and read back: when each request had how many tokens."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from attnlab.bench.llm.generation.kept import kept_of_launches
from attnlab.bench.llm.generation.logs import FAILED, NO_TOKEN, PASSES, CallLog, Pass, RequestLog
from attnlab.bench.llm.generation.rules import fault
from attnlab.bench.llm.generation.served import OF_LOADS, OF_REQUESTS
from attnlab.bench.store.records import Burst, Measurement, Series

__all__ = [
    "EVENTS",
    "FAILED",
    "NO_TOKEN",
    "PASSES",
    "UNITS",
    "CallLog",
    "Pass",
    "RequestLog",
    "broken_log",
    "calls_of",
    "log_in",
    "requests_of",
    "series_of",
]

CLOCK = "wall"
EVENTS = "event_request"
"""The quantity that is stored wherever a log is."""
_LOG = (EVENTS, "event_time", "event_tokens")
_OF_ALL = ("request_arrival", "request_prompt")
NEEDED = {*_LOG, *_OF_ALL}
_OF_SOME = ("request_tokenise", "request_first_sample", "request_failed", "request_numbers_only")
_OF_PASSES = {kind: (f"{kind}_pass", f"{kind}_bytes", f"{kind}_rows") for kind in PASSES}
_GUESSES = ("drafted", "accepted")
_NO_COUNTS = {
    *(*_LOG, *_OF_ALL, *_OF_SOME, *_GUESSES, *OF_REQUESTS, *OF_LOADS),
    *(name for names in _OF_PASSES.values() for name in names),
}

UNITS = {"cache": "B"}
WANTED = ("reused_tokens",)
"""Counts of which more is better."""


def series_of(log: CallLog) -> tuple[Series, ...]:
    """The log as series that a burst holds: the events of all requests, then the passes, then the counts."""
    made = [*_request_series(log.requests), *_pass_series(log.passes)]
    for name, value in log.counts.items():
        direction = "higher" if name in WANTED else "lower"
        made.append(Series(str(name), UNITS.get(name, "1"), None, direction, (float(value),)))
    return tuple(made)


def _request_series(requests: Sequence[RequestLog]) -> Iterator[Series]:
    events = [
        (float(n), float(t), float(k))
        for n, r in enumerate(requests)
        for t, k in zip(r.times_ns, r.tokens, strict=True)
    ]
    for name, unit, column in zip(_LOG, ("1", "ns", "1"), range(3), strict=True):
        yield Series(name, unit, CLOCK, "lower", tuple(event[column] for event in events))
    yield Series("request_arrival", "ns", CLOCK, "lower", tuple(float(r.arrival_ns) for r in requests))
    yield Series("request_prompt", "1", CLOCK, "lower", tuple(float(r.prompt_tokens) for r in requests))
    of_some = {
        "request_tokenise": [r.tokenise_ns for r in requests],
        "request_first_sample": [r.first_sample_ns for r in requests],
    }
    for name, values in of_some.items():
        known = [float(value) for value in values if value is not None]
        if len(known) == len(requests):
            yield Series(name, "ns", CLOCK, "lower", tuple(known))
    marks = {
        "request_failed": [r.failure is not None for r in requests],
        "request_numbers_only": [r.numbers_only for r in requests],
    }
    for name, marked in marks.items():
        if any(marked):
            yield Series(name, "1", None, "lower", tuple(map(float, marked)))


def _pass_series(passes: Sequence[Pass]) -> Iterator[Series]:
    for kind in PASSES:
        mine = [p for p in passes if p.kind == kind]
        if mine:
            yield Series(f"{kind}_pass", "ns", CLOCK, "lower", tuple(float(p.elapsed_ns) for p in mine))
            yield Series(f"{kind}_bytes", "B", None, "lower", tuple(float(p.read_bytes) for p in mine))
            yield Series(f"{kind}_rows", "1", None, "lower", tuple(float(p.rows) for p in mine))
    judged = [p for p in passes if p.drafted]
    if judged:
        yield Series("drafted", "1", None, "lower", tuple(float(n) for p in judged for n in p.drafted))
        yield Series("accepted", "1", None, "higher", tuple(float(n) for p in judged for n in p.accepted))


def log_in(series: Sequence[Series]) -> CallLog | None:
    """The log that series hold, as `series_of` wrote it; None where there is none.

    Passes come kind by kind, and all guesses with the first of them, since a store does not keep which were of which.
    Raises ValueError where series do not fit each other.
    """
    found = {one.quantity: one.values for one in series}
    if not found.keys() >= NEEDED:
        return None
    return CallLog(tuple(_requests_in(found)), tuple(_passes_in(found)), _counts_in(series))


def _counts_in(series: Sequence[Series]) -> dict[str, float]:
    others = [one for one in series if one.clock is None and one.quantity not in _NO_COUNTS and len(one.values) == 1]
    return {one.quantity: one.values[0] for one in others}


_Events = tuple[tuple[float, ...], tuple[int, ...]]


@kept_of_launches
def calls_of(measurement: Measurement) -> list[list[RequestLog]]:
    """The requests of every call that was timed, in order; [] where no log was kept."""
    return [list(read.requests) for read in _read_logs(measurement) if read.requests]


def requests_of(burst: Burst) -> list[RequestLog]:
    """The requests of the call that a burst is of; [] where no log was kept, or one that cannot be."""
    return list(_read_log(burst).requests)


def broken_log(measurement: Measurement) -> str | None:
    """Why a stored log cannot be; None where all can. Runs of earlier versions were not held against the rules."""
    if EVENTS not in measurement.series:
        return None
    return next((read.fault for read in _read_logs(measurement) if read.fault is not None), None)


class _ReadLog(NamedTuple):
    """The requests of a burst's log, or why that cannot be."""

    requests: tuple[RequestLog, ...] = ()
    fault: str | None = None


NO_LOG = _ReadLog()


def _read_log(burst: Burst) -> _ReadLog:
    """Passes are read where a rule may be broken alone, for every figure is made of their series."""
    found = {one.quantity: one.values for one in burst.series}
    if not found.keys() >= NEEDED:
        return NO_LOG
    try:
        requests = tuple(_requests_in(found))
        passes = () if _plain_passes(found) else tuple(_passes_in(found))
    except ValueError as error:
        return _ReadLog(fault=str(error))
    why = fault(CallLog(requests, passes, _counts_in(burst.series)))
    return _ReadLog(requests) if why is None else _ReadLog(fault=why)


@kept_of_launches
def _read_logs(measurement: Measurement) -> list[_ReadLog]:
    """The logs of all bursts, for which twenty metrics ask in a row."""
    if EVENTS not in measurement.series:
        return []
    return [_read_log(burst) for launch in measurement.launches for burst in launch.bursts]


def _requests_in(found: Mapping[str, tuple[float, ...]]) -> Iterator[RequestLog]:
    arrivals = found["request_arrival"]
    some = [found.get(name, (None,) * len(arrivals)) for name in _OF_SOME]
    columns = zip(arrivals, _wholes(found["request_prompt"]), _events_in(found, len(arrivals)), *some, strict=True)
    for arrival, prompt, (times_ns, counts), tokenise, sample, failed, only in columns:
        failure = FAILED if failed else None
        yield RequestLog(arrival, prompt, times_ns, counts, tokenise, sample, None, failure, bool(only))


def _events_in(found: Mapping[str, tuple[float, ...]], requests: int) -> list[_Events]:
    """The times of each request, and how many tokens it had by then."""
    numbers, times_ns, counts = (found[name] for name in _LOG)
    tokens = _wholes(counts)
    if not len(numbers) == len(times_ns) == len(tokens):
        raise ValueError("its events have other numbers of requests, of times and of tokens")
    for number in {*numbers} - {*range(requests)}:
        raise ValueError(f"it has an event of request {number:g} where there are {requests}")
    if requests == 1:
        return [(times_ns, tokens)]
    events: list[tuple[list[float], list[int]]] = [([], []) for _ in range(requests)]
    for number, time_ns, count in zip(numbers, times_ns, tokens, strict=True):
        times, counted = events[int(number)]
        times.append(time_ns)
        counted.append(count)
    return [(tuple(times), tuple(counted)) for times, counted in events]


def _passes_in(found: Mapping[str, tuple[float, ...]]) -> Iterator[Pass]:
    guesses = [_wholes(found.get(name, ())) for name in _GUESSES]
    for kind, names in _OF_PASSES.items():
        elapsed_ns, read_bytes, rows = (found.get(name, ()) for name in names)
        for one in zip(elapsed_ns, read_bytes, _wholes(rows), strict=True):
            yield Pass(kind, *one, *guesses)
            guesses = [(), ()]
    if any(guesses):
        raise ValueError("it has guesses, and no pass that judged them")


def _plain_passes(found: Mapping[str, tuple[float, ...]]) -> bool:
    """Whether passes and guesses break no rule that holds for any case, told of all of them at once."""
    number = 0
    for names in _OF_PASSES.values():
        elapsed_ns, read_bytes, rows = (found.get(name, ()) for name in names)
        number += len(elapsed_ns)
        if not len(elapsed_ns) == len(read_bytes) == len(rows):
            return False
        if rows and not (_are_wholes(rows) and math.isfinite(sum(elapsed_ns) + sum(read_bytes))):
            return False
        if rows and not (min(elapsed_ns) > 0 and min(read_bytes) >= 0 and min(rows) >= 0):
            return False
    drafted, accepted = (found.get(name, ()) for name in _GUESSES)
    if not drafted and not accepted:
        return True
    if not (number and len(drafted) == len(accepted) and _are_wholes(drafted) and _are_wholes(accepted)):
        return False
    return min(accepted) >= 0 and all(map(operator.le, accepted, drafted))


def _wholes(values: tuple[float, ...]) -> tuple[int, ...]:
    """Raises ValueError where one is no whole number."""
    return tuple(map(int if _are_wholes(values) else _whole, values))


def _are_wholes(values: tuple[float, ...]) -> bool:
    return math.isfinite(sum(values)) and tuple(map(int, values)) == values


def _whole(value: float) -> int:
    if not math.isfinite(value) or int(value) != value:
        raise ValueError(f"it has {value:g} where a whole number is expected")
    return int(value)
