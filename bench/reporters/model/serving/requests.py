"""The requests of a load one under the other: when each was due and sent, and when its answer began and ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnlab.bench.reporters.model.plots import FAILED, Curve, Panel, PlotPoint
from attnlab.bench.reporters.model.serving.results import ServedRequest, ServedResult
from attnlab.bench.text import count

UNSENT, WAIT, ANSWER = "not sent yet", "to the first token", "answer"
MOST = 80  # requests in a panel
MOST_PANELS = 6

Spans = dict[str, list[PlotPoint]]


def request_panels(found: Sequence[ServedResult]) -> Iterator[Panel]:
    """One for each result, of its first call: those with requests that failed, then the heaviest loads."""
    for r in sorted(found, key=_interest)[:MOST_PANELS]:
        asked = sorted(r.served[0], key=lambda one: one.log.arrival_ns)[:MOST] if r.served else []
        if len(asked) < 2:
            continue
        spans: Spans = {}
        for row, one in enumerate(asked):
            for kind, point in _spans(one, row):
                spans.setdefault(kind, []).append(point)
        curves = tuple(Curve(kind, tuple(spans[kind])) for kind in (UNSENT, WAIT, ANSWER, FAILED) if kind in spans)
        left = len(r.served[0]) - len(asked)
        yield Panel(
            "requests",
            f"{r.implementation}, {r.label}",
            "time since the load began",
            "requests as they came",
            "ns",
            curves,
            tuple(f"request {one.number}" for one in asked),
            notes=(f"the first {len(asked)} of {count(len(r.served[0]), 'request')}",) if left else (),
        )


def _interest(r: ServedResult) -> tuple[bool, float]:
    failed = any(one.log.failure is not None for call in r.served[:1] for one in call)
    return not failed, -(r.rate or r.at_once or 0)


def _spans(one: ServedRequest, row: int) -> Iterator[tuple[str, PlotPoint]]:
    """From due to sent, from there to the first token, and from there to the last."""
    log = one.log
    sent_ns = log.arrival_ns if one.way.sent_ns is None else max(one.way.sent_ns, log.arrival_ns)
    if sent_ns > log.arrival_ns:
        yield UNSENT, _span(row, log.arrival_ns, sent_ns, "")
    if log.failure is not None or not log.chunks:
        ended_ns = max((*log.times_ns, sent_ns))
        yield FAILED, _span(row, sent_ns, ended_ns, f"failed after {count(max(log.tokens, default=0), 'token')}")
        return
    (first_ns, _), (last_ns, tokens) = log.chunks[0], log.chunks[-1]
    yield WAIT, _span(row, sent_ns, first_ns, f"prompt of {count(log.prompt_tokens, 'token')}{_cached(one)}")
    yield ANSWER, _span(row, first_ns, last_ns, count(tokens, "token"))


def _cached(one: ServedRequest) -> str:
    return "" if one.way.cached_tokens is None else f", {one.way.cached_tokens} of them cached"


def _span(row: int, start_ns: float, end_ns: float, told: str) -> PlotPoint:
    return PlotPoint(end_ns, row, start_ns, end_ns, label=told)
