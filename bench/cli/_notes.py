"""What stands once below the tables of a run: what the marks in its rows mean, and why something has no time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from string import ascii_lowercase

from attnlab.bench.contract.metric import Row
from attnlab.bench.measuring.turn_ratios import busy
from attnlab.bench.store.records import Measurement, Outcome

BUSY, NO_INTERVAL = "!", "?"
NUMBER = re.compile(r"(?<!\w)\d[\d.]*")


class Marks:
    """Gives each kind of flag a letter of its own, in the order in which it meets them.

    Flags that differ in their figures alone are of one kind.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, list[str]] = {}
        self._signs: dict[str, str] = {}

    def of(self, row: Row, with_latency: bool) -> str:
        """The marks of a row, such as `! a c`; with_latency: whether its latency is shown, with an interval."""
        m = row.measurement
        signs = []
        if row.timed and busy(m):
            signs.append(BUSY)
            self._signs[BUSY] = "the machine was busy: too long by an unknown factor"
        if row.timed and with_latency and (m.ci_low_ns is None or m.ci_high_ns is None):
            self._signs[NO_INTERVAL] = "no interval of the latency is claimed"
        for flag in m.flags:
            kind = NUMBER.sub("…", flag)
            told = self._kinds.setdefault(kind, [])
            if flag not in told:
                told.append(flag)
            signs.append(_letter(list(self._kinds).index(kind)))
        return " ".join(dict.fromkeys(signs))

    def words(self) -> Iterator[tuple[str, str]]:
        """What each mark that was given means."""
        yield from ((f"{sign}: ", words) for sign, words in self._signs.items())
        for at, (kind, told) in enumerate(self._kinds.items()):
            yield f"{_letter(at)}: ", told[0] if len(told) == 1 else kind


def _letter(number: int) -> str:
    """`a` to `z`, then `aa`, `ab`, …"""
    more, last = divmod(number, len(ascii_lowercase))
    return (_letter(more - 1) if more else "") + ascii_lowercase[last]


def reasons(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Why something has no time or could not run: a line for each reason, with whom it keeps from which cases."""
    cases: dict[str, set[str]] = {}
    kept: dict[tuple[str, str], dict[str, list[str]]] = {}
    for m in (row.measurement for row in rows):
        cases.setdefault(m.operator, set()).add(m.case_id)
        if (reason := _reason(m)) is not None:
            kept.setdefault((m.operator, reason), {}).setdefault(m.implementation, []).append(m.case_id)
    for (operator, reason), by_name in kept.items():
        for own in dict.fromkeys(tuple(own) for own in by_name.values()):
            names = ", ".join(name for name, its in by_name.items() if tuple(its) == own)
            whole = len(cases[operator])
            where = "" if len(own) == whole else f" ({own[0] if len(own) == 1 else f'{len(own)} of {whole} cases'})"
            of = f"{operator}: " if len(cases) > 1 else ""
            yield "", f"{of}{names}: {reason}{where}"


def _reason(m: Measurement) -> str | None:
    """Why a result that is not wrong has no latency."""
    if m.outcome is Outcome.UNAVAILABLE:
        return f"unavailable: {m.reason}"
    if m.outcome is Outcome.UNCHECKED:
        return f"no latency: {m.untimed}" if m.untimed else None
    if m.outcome is not Outcome.PASSED:
        return None
    return m.paced or (f"right, not timed: {m.untimed}" if m.untimed else None)
