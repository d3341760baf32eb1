"""The raw log of a generation as series of a burst, and read back: when each request had how many tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from attnlab.bench.llm.generation.kept import kept_of_launches
from attnlab.bench.llm.generation.logs import FAILED, NO_TOKEN, PASSES, CallLog, Pass, RequestLog
from attnlab.bench.llm.generation.rules import fault
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
    passes = list(_passes_in(found))
    known = {name for kind in PASSES for name in (f"{kind}_pass", f"{kind}_bytes", f"{kind}_rows")}
    known |= {*_LOG, *_OF_ALL, *_OF_SOME, "drafted", "accepted"}
    others = [one for one in series if one.clock is None and one.quantity not in known and len(one.values) == 1]
    return CallLog(tuple(_requests_in(found)), tuple(passes), {one.quantity: one.values[0] for one in others})


@kept_of_launches
def calls_of(measurement: Measurement) -> list[list[RequestLog]]:
    """The requests of every call that was timed, in order; [] where no log was kept."""
    return [list(read.requests) for read in _read_logs(measurement) if read.requests]


def requests_of(burst: Burst) -> list[RequestLog]:
    """The requests of the call that a burst is of; [] where no log was kept, or one that cannot be."""
    return list(_read_log(burst).requests)


def broken_log(measurement: Measurement) -> str | None:
    """Why a stored log cannot be; None where all can. Runs of earlier versions were not held against the rules."""
    return next((read.fault for read in _read_logs(measurement) if read.fault is not None), None)


class _ReadLog(NamedTuple):
    """The requests of a burst's log, or why that cannot be."""

    requests: tuple[RequestLog, ...] = ()
    fault: str | None = None


NO_LOG = _ReadLog()


def _read_log(burst: Burst) -> _ReadLog:
    try:
        log = log_in(burst.series)
    except ValueError as error:
        return _ReadLog(fault=str(error))
    if log is None:
        return NO_LOG
    return _ReadLog(fault=why) if (why := fault(log)) else _ReadLog(log.requests)


@kept_of_launches
def _read_logs(measurement: Measurement) -> list[_ReadLog]:
    """The logs of all bursts, for which twenty metrics ask in a row."""
    if EVENTS not in measurement.series:
        return []
    return [_read_log(burst) for launch in measurement.launches for burst in launch.bursts]


def _requests_in(found: Mapping[str, tuple[float, ...]]) -> Iterator[RequestLog]:
    arrivals, prompts = found["request_arrival"], found["request_prompt"]
    times: list[list[float]] = [[] for _ in arrivals]
    tokens: list[list[int]] = [[] for _ in arrivals]
    for request, time_ns, count in zip(*(found[name] for name in _LOG), strict=True):
        if not (0 <= request < len(arrivals) and request == int(request)):
            raise ValueError(f"it has an event of request {request:g} where there are {len(arrivals)}")
        times[int(request)].append(time_ns)
        tokens[int(request)].append(_whole(count))
    some = [found.get(name, (None,) * len(arrivals)) for name in _OF_SOME]
    for n, (arrival, prompt, tokenise, sample, failed, only) in enumerate(zip(arrivals, prompts, *some, strict=True)):
        yield RequestLog(
            arrival,
            _whole(prompt),
            tuple(times[n]),
            tuple(tokens[n]),
            tokenise,
            sample,
            failure=FAILED if failed else None,
            numbers_only=bool(only),
        )


def _passes_in(found: Mapping[str, tuple[float, ...]]) -> Iterator[Pass]:
    guesses = [tuple(map(_whole, found.get(name, ()))) for name in ("drafted", "accepted")]
    for kind in PASSES:
        columns = [found.get(f"{kind}_{name}", ()) for name in ("pass", "bytes", "rows")]
        for elapsed_ns, read_bytes, rows in zip(*columns, strict=True):
            yield Pass(kind, elapsed_ns, read_bytes, _whole(rows), *guesses)
            guesses = [(), ()]
    if any(guesses):
        raise ValueError("it has guesses, and no pass that judged them")


def _whole(value: float) -> int:
    if type(value) is float and value.is_integer():  # most are
        return int(value)
    if not math.isfinite(value) or int(value) != value:
        raise ValueError(f"it has {value:g} where a whole number is expected")
    return int(value)
