"""Our client's log of a load as other tools would have seen it."""

from __future__ import annotations

from collections.abc import Callable

from attnlab.bench.analysis.peers.recorded import Event, Recorded, Stream
from attnlab.bench.serving.endpoint import PIECES
from attnlab.bench.serving.log import Served, ServedLog

Count = Callable[[str], int]
"""How many tokens a text has."""

OF_ANSWER = ("role", "other", *PIECES)
"""Kinds of events that have a choice in them, whether or not it has text."""


def recorded(log: ServedLog, count: Count | None = None) -> Recorded:
    """The load, with each answer counted by `count` as well where it is given; requests never sent are left out."""
    return Recorded(tuple(_stream(one, count) for one in log.requests if one.sent_ns is not None), float(log.ended_ns))


def _stream(one: Served, count: Count | None) -> Stream:
    found = one.arrivals
    columns = zip(found.times_ns, found.kinds, found.tokens, strict=True)
    events = tuple(Event(float(time), kind in PIECES, tokens, kind in OF_ANSWER) for time, kind, tokens in columns)
    sent_ns = float(one.begun_ns if one.sent_ns is None else one.sent_ns)
    return Stream(
        float(one.due_ns),
        min(float(one.begun_ns), sent_ns),
        sent_ns,
        events,
        float(one.ended_ns),
        one.prompt_tokens or 0,
        one.usage.completion if one.usage is not None else None,
        count(one.reasoning + one.text) if count is not None else None,
        one.failure is not None,
    )
