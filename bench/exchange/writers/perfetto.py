"""Perfetto: when each burst was measured and when each request had its tokens, as Chrome's trace events."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnlab.bench import units
from attnlab.bench.errors import UsageError
from attnlab.bench.llm.generation.events import requests_of
from attnlab.bench.llm.generation.logs import RequestLog
from attnlab.bench.store.records import Burst, Measurement
from attnlab.bench.store.run_folder import StoredRun, latest
from attnlab.bench.text import count

US = 1e-3  # in nanoseconds: Chrome's events are in microseconds
BURSTS = 0  # the thread of a process's bursts; requests have the threads after it
LATENCY = "latency"

Event = dict[str, Any]


@dataclass(frozen=True)
class Perfetto:
    """A process for each result, a thread for its bursts, and one for each request of a generation.

    A burst is as long as the machine said it was, else as its samples add up to; one without samples, such as that of
    the set-up, is a point. Where nobody knows when it began, it follows the one before. Each run begins at zero. Passes
    of a model are left out: when they began is not stored.
    """

    name: str = "perfetto"
    suffix: str = ".json"
    summary: str = "trace events of bursts, requests and tokens, for ui.perfetto.dev or chrome://tracing"

    def write(self, runs: Sequence[StoredRun], path: Path, samples: bool) -> str:
        if samples:
            raise UsageError("a trace shows bursts, not samples; leave --samples out")
        events: list[Event] = []
        starts: dict[str, float] = {}
        for stored in runs:
            shown = [m for m in latest(stored.measurements) if m.outcome.may_have_speed and (m.launches or m.turns)]
            starts[stored.run.run_id] = first_s = _first_s(shown)
            for m in shown:
                pid = 1 + max((event["pid"] for event in events), default=0)
                events += _Process(pid, stored, m, first_s).events()
        trace = {"traceEvents": events, "displayTimeUnit": "ns", "otherData": {"started_s": starts}}
        path.write_text(json.dumps(trace, separators=(",", ":"), allow_nan=False) + "\n", encoding="utf-8")
        return count(sum(event["ph"] == "X" for event in events), "slice")


@dataclass
class _Process:
    """The events of one result; times in microseconds since the first burst of its run."""

    pid: int
    stored: StoredRun
    measurement: Measurement
    first_s: float
    end_us: float = field(default=0.0, init=False)

    def events(self) -> Iterator[Event]:
        m = self.measurement
        name = " ".join((m.operator, m.implementation, m.case_id))
        yield self._named("process_name", BURSTS, f"{name} ({m.outcome.value}), run {self.stored.run.run_id}")
        yield self._named("thread_name", BURSTS, "bursts")
        requests = max((len(requests_of(burst)) for burst, _ in _bursts(m)), default=0)
        for number in range(requests):
            yield self._named("thread_name", number + 1, f"request {number}")
        for place, (burst, turn) in enumerate(_bursts(m)):
            yield from self._burst(burst, f"burst {place}" if turn is None else f"round {turn}, burst {place}")

    def _burst(self, burst: Burst, name: str) -> Iterator[Event]:
        known = math.isfinite(burst.started_s)
        begin = units.seconds_to_ns(burst.started_s - self.first_s) * US if known else self.end_us
        log = requests_of(burst)
        length = _length_ns(burst, log, self.measurement) * US
        self.end_us = max(self.end_us, begin + length)
        yield self._slice(name, BURSTS, begin, length, _told(burst, known))
        for number, request in enumerate(log):
            yield from self._request(request, number + 1, begin)

    def _request(self, request: RequestLog, thread: int, begin: float) -> Iterator[Event]:
        """The wait for the first token, then each gap until more tokens had come."""
        if not request.answered:
            failed = {"failed": request.failure is not None}
            yield self._slice("no answer", thread, begin + request.arrival_ns * US, 0.0, failed)
            return
        before, tokens = request.arrival_ns, 0
        for time_ns, by_then in request.chunks:
            name = "first token" if tokens == 0 else "token" if by_then == tokens + 1 else "tokens"
            args = {"tokens": by_then, "prompt_tokens": request.prompt_tokens}
            yield self._slice(name, thread, begin + before * US, (time_ns - before) * US, args)
            before, tokens = time_ns, by_then

    def _slice(self, name: str, thread: int, begin: float, length: float, args: dict[str, Any]) -> Event:
        return {
            "name": name,
            "cat": self.measurement.outcome.value,
            "ph": "X",
            "pid": self.pid,
            "tid": thread,
            "ts": begin,
            "dur": max(0.0, length),
            "args": args,
        }

    def _named(self, what: str, thread: int, name: str) -> Event:
        return {"name": what, "ph": "M", "pid": self.pid, "tid": thread, "ts": 0, "args": {"name": name}}


def _first_s(measurements: Sequence[Measurement]) -> float:
    """Unix time of the first burst; 0 where nobody knows it."""
    starts = (burst.started_s for m in measurements for burst, _ in _bursts(m))
    return min((start for start in starts if math.isfinite(start)), default=0.0)


def _bursts(m: Measurement) -> Iterator[tuple[Burst, int | None]]:
    """All bursts, those of turns with the number of their round."""
    yield from ((burst, None) for launch in m.launches for burst in launch.bursts)
    yield from ((burst, turn.round) for turn in m.turns for burst in turn.launch.bursts)


def _length_ns(burst: Burst, log: Sequence[RequestLog], m: Measurement) -> float:
    if burst.host is not None:
        return burst.host.elapsed_ns
    if log:
        return max((time_ns for request in log for time_ns, _ in request.chunks), default=0.0)
    if m.timing is None:
        return 0.0
    taken = [s for s in burst.series if s.quantity == LATENCY and s.clock == m.timing.clock]
    return m.timing.calls_a_sample * sum(value for one in taken for value in one.values if math.isfinite(value))


def _told(burst: Burst, known: bool) -> dict[str, Any]:
    """Each quantity with its number of values and their median."""
    args: dict[str, Any] = {} if known else {"when it began": "not known"}
    for series in burst.series:
        values = [value for value in series.values if math.isfinite(value)]
        if values and (series.quantity == LATENCY or len(values) == 1):
            label = " ".join(filter(None, (series.quantity, series.clock)))
            args[f"{label}, {series.unit}"] = statistics.median(values)
            if len(values) > 1:
                args[f"{label}, samples"] = len(values)
    return args


WRITER = Perfetto()
