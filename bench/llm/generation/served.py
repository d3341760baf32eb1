"""What only a server's log has, as series of a burst beside those of `events`, and read back.

Of each request, in the order of the load; −1 stands where a figure is not known:

| series | unit | what it is |
|---|---|---|
| `request_sent` | ns | when the first byte of the request was sent, since the call began |
| `request_connect` | ns | what connecting took, name and TLS included; 0 on a connection that was there |
| `request_headers` | ns | when the head of the answer was there, since the call began |
| `request_queue` | ns | what it waited in the server before its prompt was read, as the server says |
| `request_prefill` | ns | what reading its prompt took, as the server says |
| `request_cached` | tokens | of its prompt that the server had in its prefix cache, as usage says |
| `request_attempts` | 1 | how often it was sent: 1 where nothing was tried again |
| `request_counted_by` | 1 | who counted its tokens: one of `COUNTED_BY` by number |

Of the load: `client_lag` (ns, of each request that was sent, by how much later than due), `client_loop_lag` (ns, by how
much the client's own timer was late, sampled), `client_late` (1 where the p99 of the first is above a millisecond) and
`steady_window` (ns, its two ends).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from attnlab.bench.llm.generation.kept import kept_of_launches
from attnlab.bench.store.records import Measurement, Series

WALL = "wall"
UNKNOWN = -1.0
COUNTED_BY = ("usage", "ids", "tokenizer", "chunks")
SENT, HEADERS, CONNECT = "request_sent", "request_headers", "request_connect"
QUEUE, PREFILL = "request_queue", "request_prefill"
CACHED, ATTEMPTS, COUNTED = "request_cached", "request_attempts", "request_counted_by"
LAG, LOOP_LAG, LATE, STEADY = "client_lag", "client_loop_lag", "client_late", "steady_window"
OF_REQUESTS = (SENT, HEADERS, CONNECT, QUEUE, PREFILL, CACHED, ATTEMPTS, COUNTED)
OF_LOADS = (LAG, LOOP_LAG, LATE, STEADY)
P99 = 0.99
LATE_NS = 1e6
"""The p99 of the client's lag beyond which a load was not put as asked."""


@dataclass(frozen=True)
class Delivery:
    """One request on its way: times in nanoseconds since the call began, None where not known; see this module."""

    sent_ns: float | None = None
    headers_ns: float | None = None
    connect_ns: float | None = None
    queue_ns: float | None = None
    cached_tokens: int | None = None
    attempts: int = 1
    counted_by: str = COUNTED_BY[0]
    prefill_ns: float | None = None


@dataclass(frozen=True)
class LoadLog:
    """What a client says of one load that it drove; see this module."""

    deliveries: tuple[Delivery, ...]
    lag_ns: tuple[float, ...] = ()
    loop_lag_ns: tuple[float, ...] = ()
    late: bool = False
    steady_ns: tuple[float, float] | None = None


def series_of_load(log: LoadLog) -> tuple[Series, ...]:
    """The log as series that a burst holds."""
    return tuple(_series(log))


def _series(log: LoadLog) -> Iterator[Series]:
    for name, unit, values in (
        (SENT, "ns", [d.sent_ns for d in log.deliveries]),
        (HEADERS, "ns", [d.headers_ns for d in log.deliveries]),
        (CONNECT, "ns", [d.connect_ns for d in log.deliveries]),
        (QUEUE, "ns", [d.queue_ns for d in log.deliveries]),
        (PREFILL, "ns", [d.prefill_ns for d in log.deliveries]),
        (CACHED, "tokens", [d.cached_tokens for d in log.deliveries]),
    ):
        if any(value is not None for value in values):
            direction = "higher" if name == CACHED else "lower"
            told = tuple(UNKNOWN if value is None else float(value) for value in values)
            yield Series(name, unit, WALL if unit == "ns" else None, direction, told)
    yield Series(ATTEMPTS, "1", None, "lower", tuple(float(d.attempts) for d in log.deliveries))
    yield Series(COUNTED, "1", None, "lower", tuple(float(COUNTED_BY.index(d.counted_by)) for d in log.deliveries))
    for name, lags in ((LAG, log.lag_ns), (LOOP_LAG, log.loop_lag_ns)):
        if lags:
            yield Series(name, "ns", WALL, "lower", tuple(map(float, lags)))
    if log.late:
        yield Series(LATE, "1", None, "lower", (1.0,))
    if log.steady_ns is not None:
        yield Series(STEADY, "ns", WALL, "higher", log.steady_ns)


def load_in(series: Sequence[Series]) -> LoadLog | None:
    """What series hold, as `series_of_load` wrote it; None where there is none. Raises ValueError of what cannot be."""
    found = {one.quantity: one.values for one in series}
    if ATTEMPTS not in found:
        return None
    count = len(found[ATTEMPTS])
    columns = {name: found.get(name, (UNKNOWN,) * count) for name in OF_REQUESTS}
    if any(len(values) != count for values in columns.values()):
        raise ValueError("its figures of requests are of other numbers of them")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    steady = found.get(STEADY)
    if steady is not None and len(steady) != 2:
        raise ValueError(f"its steady window has {len(steady)} ends")
    return LoadLog(
        tuple(map(_delivery, rows)),
        found.get(LAG, ()),
        found.get(LOOP_LAG, ()),
        bool(found.get(LATE, (0.0,))[0]),
        None if steady is None else (steady[0], steady[1]),
    )


def _delivery(row: dict[str, float]) -> Delivery:
    known = {name: None if value < 0 else value for name, value in row.items()}
    cached, counted = known[CACHED], int(row[COUNTED])
    if not 0 <= counted < len(COUNTED_BY):
        raise ValueError(f"it has tokens that nobody counted ({counted})")
    return Delivery(
        known[SENT],
        known[HEADERS],
        known[CONNECT],
        known[QUEUE],
        None if cached is None else int(cached),
        int(row[ATTEMPTS]),
        COUNTED_BY[counted],
        known[PREFILL],
    )


@kept_of_launches
def loads_of(measurement: Measurement) -> list[LoadLog]:
    """Of every call that was timed, in order; [] of what is no server's, and of what cannot be read."""
    found: list[LoadLog] = []
    for launch in measurement.launches:
        for burst in launch.bursts:
            try:
                read = load_in(burst.series)
            except (ValueError, IndexError):
                return []
            found += [] if read is None else [read]
    return found


def ways_of(measurement: Measurement) -> list[Delivery]:
    """Of every request of every call that was sent."""
    return [way for load in loads_of(measurement) for way in load.deliveries if way.sent_ns is not None]


def lags_of(measurement: Measurement) -> list[float]:
    """By how much each request was sent later than due, in nanoseconds."""
    return [lag for load in loads_of(measurement) for lag in load.lag_ns]


def p99(values: Iterable[float]) -> float | None:
    """What 99 % do not exceed: the largest of fewer than a hundred, so that a flag is raised too soon; None of none."""
    known = sorted(values)
    return known[min(len(known) - 1, int(P99 * len(known)))] if known else None
