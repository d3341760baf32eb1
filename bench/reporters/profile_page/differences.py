"""Where the difference in time of profiles of one case comes from, in words."""

from __future__ import annotations

from collections.abc import Sequence

from attnlab.bench import units
from attnlab.bench.measuring.turn_ratios import burst_ratio
from attnlab.bench.profilers.comparison import parts_of
from attnlab.bench.profilers.findings.facts import busy
from attnlab.bench.profilers.profiles import CaseProfile
from attnlab.bench.profilers.record import KERNEL, OPERATION

MOST_NAMED = 3
LEAST_SHARE = 0.1  # of a difference, by a part that is named
UNCLAIMED = "no interval is claimed"
SAME = 0.05  # of a time, below which two are told as alike


def told_differences(cases: Sequence[CaseProfile]) -> list[str]:
    """In words, of each profile against the quickest: how much longer it takes, and in what.

    Where they took bursts in turn, the ratio is the median over those, with its 95 % interval. Else it is that of the
    medians, each of one process, and its interval holds that of any two values in their intervals.
    """
    timed = sorted((case for case in cases if case.call_ns), key=lambda case: case.call_ns or 0.0)
    if len(timed) < 2:
        return []
    quickest = timed[0]
    return [_told(quickest, other) for other in timed[1:]]


def _told(quickest: CaseProfile, other: CaseProfile) -> str:
    assert quickest.call_ns is not None
    assert other.call_ns is not None
    times = f"{_time(other.call_ns)}, {_time(quickest.call_ns)}"
    found = _turned(quickest, other) or _apart(quickest, other)
    if isinstance(found, str):
        return f"How the times of {other.name} and {quickest.name} compare is not told ({times}): {found}."
    ratio, low, high, how = found
    if low <= 1 <= high or abs(ratio - 1) < SAME:
        return f"{other.name} and {quickest.name} take about as long: {times}{how}."
    slow, quick = (other, quickest) if ratio > 1 else (quickest, other)
    bounds = (ratio, low, high) if ratio > 1 else (1 / ratio, 1 / high, 1 / low)
    assert slow.call_ns is not None
    more_ns = slow.call_ns * (1 - 1 / bounds[0])
    told = (
        f"{slow.name} takes {units.format_estimate(*bounds)} times as long as {quick.name}: {_time(more_ns)} more{how}"
    )
    return f"{told}; {_where(quick, slow, more_ns)}."


def _where(quick: CaseProfile, slow: CaseProfile, more_ns: float) -> str:
    """Which parts hold the difference."""
    kind = KERNEL if parts_of(slow, KERNEL) else OPERATION
    before, after = parts_of(quick, kind), parts_of(slow, kind)
    growths = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in {**before, **after}}
    largest = sorted(growths, key=lambda name: -growths[name])[:MOST_NAMED]
    named = [
        f"{_time(growths[name])} in {name}{'' if name in before else f', which {quick.name} has not'}"
        for name in largest
        if growths[name] > LEAST_SHARE * more_ns
    ]
    return "; ".join(named) or f"no {kind} explains a tenth of it"


def _turned(quickest: CaseProfile, other: CaseProfile) -> tuple[float, float, float, str] | None:
    """The ratio of bursts that both took in turn, its bounds and how many there were; None where they took none."""
    found = burst_ratio(other.measurement, quickest.measurement)
    if (
        found is None
        or found.low is None
        or found.high is None
        or quickest.wrong is not None
        or other.wrong is not None
    ):
        return None
    return found.median, found.low, found.high, f" ({found.rounds} bursts of each in turn)"


def _apart(quickest: CaseProfile, other: CaseProfile) -> tuple[float, float, float, str] | str:
    """The ratio of medians and its bounds; why it is not told where it is not."""
    for case in (quickest, other):
        why = _unsure(case)
        if why is not None:
            return f"{case.name}: {why}"
    assert quickest.call_ns is not None
    assert other.call_ns is not None
    (low, high), (least, most) = _interval(other), _interval(quickest)
    return other.call_ns / quickest.call_ns, low / most, high / least, ""


def _unsure(case: CaseProfile) -> str | None:
    """Why the time of a call cannot be set against another; None where it can."""
    m = case.measurement
    if case.wrong is not None:
        return "its result is wrong"
    kept = busy(case)
    if kept is not None:
        return f"the machine was busy: {kept}"
    if m.ci_low_ns is None or m.ci_high_ns is None:
        return next((flag for flag in m.flags if flag.startswith(UNCLAIMED)), f"{UNCLAIMED} of it")
    return None


def _interval(case: CaseProfile) -> tuple[float, float]:
    m = case.measurement
    assert m.ci_low_ns is not None
    assert m.ci_high_ns is not None
    return m.ci_low_ns, m.ci_high_ns


def _time(ns: float) -> str:
    return units.format_time(ns)
