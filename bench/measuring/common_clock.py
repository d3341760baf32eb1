"""Measurements of one case restated under the best clock that all of them have, so that they can be compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from attnlab.bench.stats.summary import summarise
from attnlab.bench.store.records import Measurement, TimingRecord

LATENCY = "latency"
GRAPHS = "cuda_graph"
NO_LATENCY = "cpu_time"  # stands beside only: processor time is no elapsed time


class Method(NamedTuple):
    """What times must share to be compared.

    uncorrected: the calls a sample is the mean of, where what a span adds was shared out among them and not taken off.
    """

    clock: str
    cache: str
    uncorrected: int | None = None


def method_of(timing: TimingRecord, clock: str | None = None) -> Method:
    """The method of a measurement's times by its main clock, or by another that stands beside it."""
    of_graphs = clock in (None, timing.clock) and timing.clock == GRAPHS and GRAPHS not in timing.nulls_ns
    return Method(clock or timing.clock, timing.cache, timing.calls_a_sample if of_graphs else None)


def under_common_clocks(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The measurements of one run, those of each case under one clock; their order is kept."""
    shown = list(measurements)
    groups: dict[tuple[str, str], list[int]] = {}
    for place, m in enumerate(measurements):
        groups.setdefault((m.operator, m.case_id), []).append(place)
    for places in groups.values():
        for place, m in zip(places, under_one_clock([shown[place] for place in places]), strict=True):
            shown[place] = m
    return shown


def of_one_clock(measurements: Iterable[Measurement]) -> bool:
    """Whether the measurements of one case are timed by one method, so that no time of theirs has to be restated."""
    return len(_own_methods(measurements)) < 2


def under_one_clock(group: list[Measurement]) -> list[Measurement]:
    """As `under_common_clocks`, of the measurements of one case."""
    method = common_method(group)
    if method is not None:
        group = [_under(m, method) for m in group]
    calls = {_calls(m) for m in group} - {None}
    return group if len(calls) < 2 else [_marked(m, calls) for m in group]


def _calls(measurement: Measurement) -> int | None:
    return measurement.timing.calls_a_sample if measurement.timing and measurement.median_ns else None


def _marked(measurement: Measurement, calls: set[int | None]) -> Measurement:
    """With a flag where samples of the same case are means of other numbers of calls."""
    own = _calls(measurement)
    if own is None:
        return measurement
    others = " or ".join(map(str, sorted(count for count in calls if count not in (None, own))))
    flag = f"a sample is the mean of {own} calls, of other implementations of {others}: their scatter differs by that"
    return replace(measurement, flags=(*measurement.flags, flag))


def common_method(measurements: Iterable[Measurement]) -> Method | None:
    """The method by which all that passed and were timed have samples; None where there is none.

    The clocks preferred by more of them come first, each measurement's own main clock before those beside it.
    """
    measurements = list(measurements)
    own = _own_methods(measurements)
    if len(own) == 1:  # all of them prefer it
        return own.pop()
    offered = [_methods(m) for m in measurements if m.timing is not None and m.median_ns]
    shared = [method for method in (offered[0] if offered else ()) if all(method in each for each in offered)]
    return min(shared, key=lambda method: sum(each.index(method) for each in offered), default=None)


def _own_methods(measurements: Iterable[Measurement]) -> set[Method]:
    """The methods of those that passed and were timed, each by its main clock."""
    return {method_of(m.timing) for m in measurements if m.timing is not None and m.median_ns}


def _methods(measurement: Measurement) -> list[Method]:
    """The methods by which its latency is known, the main clock's first."""
    timing = measurement.timing
    assert timing is not None
    recorded = (
        str(series.clock)
        for series in measurement.series.get(LATENCY, ())
        if series.clock not in (None, NO_LATENCY) and series.values
    )
    return [method_of(timing, clock) for clock in dict.fromkeys((timing.clock, *recorded))]


def _under(measurement: Measurement, method: Method | None) -> Measurement:
    """The measurement with time and interval by that method; itself where it is that, or was not timed."""
    timing = measurement.timing
    if method is None or timing is None or measurement.median_ns is None or method_of(timing) == method:
        return measurement
    clock = method.clock
    samples = [value for value in measurement.values(LATENCY, clock) if math.isfinite(value)]
    if not samples:
        return measurement
    summary = summarise(samples)
    flag = f"shown by clock {clock}, which all implementations of this case have; its own clock is {timing.clock}"
    unclaimed = [f"no interval is claimed: {summary.unclaimed}"] if summary.unclaimed else []
    return replace(
        measurement,
        timing=replace(
            timing, clock=clock, samples=len(samples), calls_a_sample=1, plan=None, effective=summary.effective
        ),
        median_ns=summary.median,
        ci_low_ns=summary.low if math.isfinite(summary.low) else None,
        ci_high_ns=summary.high if math.isfinite(summary.high) else None,
        flags=(*measurement.flags, flag, *unclaimed),
    )
