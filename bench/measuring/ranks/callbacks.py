"""Notices code that has the interpreter call it back: what it does then may lie outside of the time of a call."""

from __future__ import annotations

import sys

from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.store.records import Outcome

EVENTS = frozenset(("sys.setprofile", "sys.settrace", "sys.monitoring.register_callback"))
_heard: list[str] = []


def listen() -> None:
    """From now on in this process, for good."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: object) -> None:
    if event in EVENTS:
        _heard.append(event)


def forget() -> None:
    """A call begins."""
    _heard.clear()


def refuse() -> None:
    """Raise Rejected where functions were set since, or stand now."""
    if _heard or sys.getprofile() is not None or sys.gettrace() is not None:
        how = _heard[0] if _heard else "sys.setprofile or sys.settrace"
        reason = f"had Python call it back ({how}): what it does then is not timed; leave that out of run_rank"
        raise Rejected(Outcome.FAILED, reason)
