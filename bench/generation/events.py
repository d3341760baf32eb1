"""The raw log of a generation: when each request came, and how many tokens it had at which time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from attnlab.bench.store.records import Burst, Measurement, Series

CLOCK = "wall"
PASSES = ("prefill", "decode", "draft", "verify")
"""What the model runs for: a stretch of a prompt, one token a sequence, guesses, or several tokens to be judged."""

_LOG = ("event_request", "event_time", "event_tokens")
_REQUESTS = ("request_arrival", "request_prompt", "request_tokenise", "request_first_sample")


@dataclass(frozen=True)
class RequestLog:
    """One request: times in nanoseconds since the call began, tokens counted up from 1.

    arrival_ns: when it was due, whether or not it could be looked at. times_ns, tokens: the number of tokens of the
    answer that had arrived at each time, rising. tokenise_ns: what turning its text into ids took; first_sample_ns:
    what choosing its first token from the logits took; None where not known apart.
    """

    arrival_ns: float
    prompt_tokens: int
    times_ns: tuple[float, ...]
    tokens: tuple[int, ...]
    tokenise_ns: float | None = None
    first_sample_ns: float | None = None


@dataclass(frozen=True)
class Pass:
    """One run of the model: its kind (one of `PASSES`), how long it took, and the bytes that it had to read.

    rows: tokens that went in, over all sequences. drafted, accepted: guesses that a verify pass judged and let through,
    by sequence; () of other passes.
    """

    kind: str
    elapsed_ns: float
    read_bytes: float
    rows: int
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()


@dataclass(frozen=True)
class CallLog:
    """What one call of `generate` did: its requests, its passes, and quantities counted once a call.

    counts: by name, such as `preemptions` or `cache` (bytes of the key-value cache); units stand in `UNITS`.
    """

    requests: tuple[RequestLog, ...]
    passes: tuple[Pass, ...] = ()
    counts: dict[str, float] = field(default_factory=dict)


UNITS = {"cache": "B"}
WANTED = ("reused_tokens",)
"""Counts of which more is better."""


def series_of(log: CallLog) -> tuple[Series, ...]:
    """The log as series that a burst holds: the events of all requests, then the passes, then the counts."""
    made = [*_request_series(log.requests), *_pass_series(log.passes)]
    for name, value in log.counts.items():
        made.append(Series(name, UNITS.get(name, "1"), None, "higher" if name in WANTED else "lower", (value,)))
    return tuple(made)


def _request_series(requests: Sequence[RequestLog]) -> Iterator[Series]:
    events = [
        (float(n), t, float(k)) for n, r in enumerate(requests) for t, k in zip(r.times_ns, r.tokens, strict=True)
    ]
    for name, unit, column in zip(_LOG, ("1", "ns", "1"), range(3), strict=True):
        yield Series(name, unit, CLOCK, "lower", tuple(event[column] for event in events))
    of_requests: dict[str, list[float] | list[float | None]] = {
        "request_arrival": [r.arrival_ns for r in requests],
        "request_prompt": [float(r.prompt_tokens) for r in requests],
        "request_tokenise": [r.tokenise_ns for r in requests],
        "request_first_sample": [r.first_sample_ns for r in requests],
    }
    for name, values in of_requests.items():
        known = [value for value in values if value is not None]
        if len(known) == len(requests):
            yield Series(name, "1" if name == "request_prompt" else "ns", CLOCK, "lower", tuple(known))


def _pass_series(passes: Sequence[Pass]) -> Iterator[Series]:
    for kind in PASSES:
        mine = [p for p in passes if p.kind == kind]
        if mine:
            yield Series(f"{kind}_pass", "ns", CLOCK, "lower", tuple(p.elapsed_ns for p in mine))
            yield Series(f"{kind}_bytes", "B", None, "lower", tuple(p.read_bytes for p in mine))
            yield Series(f"{kind}_rows", "1", None, "lower", tuple(float(p.rows) for p in mine))
    judged = [p for p in passes if p.drafted]
    if judged:
        yield Series("drafted", "1", None, "lower", tuple(float(n) for p in judged for n in p.drafted))
        yield Series("accepted", "1", None, "higher", tuple(float(n) for p in judged for n in p.accepted))


def calls_of(measurement: Measurement) -> list[list[RequestLog]]:
    """The requests of every call that was timed, in order; [] where no log was kept."""
    bursts = [burst for launch in measurement.launches for burst in launch.bursts]
    return [requests for burst in bursts if (requests := requests_of(burst))]


def requests_of(burst: Burst) -> list[RequestLog]:
    """The requests of the call that a burst is of; [] where no log was kept."""
    found = {series.quantity: series.values for series in burst.series}
    if not all(name in found for name in (*_LOG, "request_arrival", "request_prompt")):
        return []
    arrivals, prompts = found["request_arrival"], found["request_prompt"]
    times: list[list[float]] = [[] for _ in arrivals]
    tokens: list[list[int]] = [[] for _ in arrivals]
    for request, time_ns, count in zip(*(found[name] for name in _LOG), strict=True):
        times[int(request)].append(time_ns)
        tokens[int(request)].append(int(count))
    optional = [found.get(name, (None,) * len(arrivals)) for name in _REQUESTS[2:]]
    return [
        RequestLog(arrival, int(prompt), tuple(t), tuple(k), tokenise, sample)
        for arrival, prompt, t, k, tokenise, sample in zip(arrivals, prompts, times, tokens, *optional, strict=True)
    ]
