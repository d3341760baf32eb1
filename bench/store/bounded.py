"""What a measurement says in words, made printable and short: of a process that is not believed, or of a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from attnlab.bench.store.records import Measurement
from attnlab.bench.text import LONGEST_STORED, block, one_line

MOST_WORDS = 20  # flags, and names of phases
NAMES = ("operator", "implementation", "case_id")


def bounded(measurement: Measurement) -> Measurement:
    """The measurement with one line for each name and reason, and as many flags and phases as a reader looks at."""
    m = measurement
    if _plain(m):
        return m
    words = {
        "reason": m.reason and one_line(m.reason),
        "detail": m.detail and block(m.detail),
        "untimed": m.untimed and one_line(m.untimed),
        "configuration": m.configuration and one_line(m.configuration),
        "printed": m.printed and block(m.printed),
        "flags": tuple(one_line(flag) for flag in m.flags[:MOST_WORDS]),
        **{name: one_line(getattr(m, name), LONGEST_STORED) for name in NAMES},
        "phases_ns": {one_line(phase): ns for phase, ns in list(m.phases_ns.items())[:MOST_WORDS]},
    }
    changed: dict[str, Any] = {name: value for name, value in words.items() if value != getattr(m, name)}
    return replace(m, **changed) if changed else m


def _plain(m: Measurement) -> bool:
    """Whether nothing has to be changed, as in most, told of all words at once."""
    if m.detail or m.printed or len(m.flags) > MOST_WORDS or len(m.phases_ns) > MOST_WORDS:
        return False
    names = (m.operator, m.implementation, m.case_id)
    words = " ".join(filter(None, (*names, m.reason, m.untimed, m.configuration, *m.flags, *m.phases_ns)))
    return words == one_line(words)
