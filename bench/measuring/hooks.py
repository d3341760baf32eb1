"""Code that nobody calls: functions that the interpreter or a timer calls, and finalisers of garbage."""

from __future__ import annotations

import gc
import signal
import sys

from attnlab.bench.measuring.judging.refusals import Rejected
from attnlab.bench.store.records import Outcome

SOON_S = 1.0  # until a timer of the operating system, within which it may go off beside a timed call

_profile, _trace, _timer = sys.getprofile, sys.gettrace, signal.getitimer  # bound before any plugin is imported
_collects, _collect_no_more, collect_again = gc.isenabled, gc.disable, gc.enable
_WATCHING = _profile(), _trace()  # a debugger, or what counts covered lines
_TIMERS = signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF


def stop_collecting() -> bool:
    """Collect no garbage from here on; whether it was collected before."""
    collects = _collects()
    _collect_no_more()
    return bool(collects)


def refuse_hooks() -> None:
    """Raise Rejected where code would be called that nobody calls."""
    found = [
        name
        for name, now, then in zip(("profile", "trace"), (_profile(), _trace()), _WATCHING, strict=True)
        if now is not None and now is not then
    ]
    if any(0 < left < SOON_S or 0 < every < SOON_S for left, every in map(_timer, _TIMERS)):
        found.append("timer")
    if found:
        reason = f"leaves a {' and a '.join(found)} function behind; expected it to work only while it is called"
        raise Rejected(Outcome.FAILED, reason)
