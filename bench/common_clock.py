"""Measurements of one case restated under the best clock that all of them have, so that they can be compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from attnlab.bench.stats.summary import summarise
from attnlab.bench.store.records import Measurement, Outcome

Method = tuple[str, str]  # clock, and what the caches held
LATENCY = "latency"
NO_LATENCY = "cpu_time"  # stands beside only: processor time is no elapsed time


def under_common_clocks(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The measurements of one run, those of each case under one clock; their order is kept."""
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.operator, m.case_id), []).append(m)
    chosen = {key: common_method(group) for key, group in groups.items()}
    return [_under(m, chosen[m.operator, m.case_id]) for m in measurements]


def common_method(measurements: Iterable[Measurement]) -> Method | None:
    """The clock and cache state by which all that passed and were timed have samples; None where there is none.

    The clocks preferred by more of them come first, each measurement's own main clock before those beside it.
    """
    timed = [m for m in measurements if m.outcome is Outcome.PASSED and m.timing is not None and m.median_ns]
    offered = [_methods(m) for m in timed]
    shared = [method for method in (offered[0] if offered else ()) if all(method in each for each in offered)]
    return min(shared, key=lambda method: sum(each.index(method) for each in offered), default=None)


def _methods(measurement: Measurement) -> list[Method]:
    """The methods by which its latency is known, the main clock's first."""
    timing = measurement.timing
    assert timing is not None
    recorded = (
        str(series.clock)
        for launch in measurement.launches
        for burst in launch.bursts
        for series in burst.series
        if series.quantity == LATENCY and series.clock not in (None, NO_LATENCY) and series.values
    )
    return [(clock, timing.cache) for clock in dict.fromkeys((timing.clock, *recorded))]


def _under(measurement: Measurement, method: Method | None) -> Measurement:
    """The measurement with time and interval by that method; itself where it is that, or was not timed."""
    timing = measurement.timing
    if method is None or timing is None or measurement.median_ns is None or (timing.clock, timing.cache) == method:
        return measurement
    clock = method[0]
    samples = [value for value in measurement.values(LATENCY, clock) if math.isfinite(value)]
    if measurement.outcome is not Outcome.PASSED or not samples:
        return measurement
    summary = summarise(samples)
    flag = f"shown by clock {clock}, which all implementations of this case have; its own clock is {timing.clock}"
    unclaimed = [f"no interval is claimed: {summary.unclaimed}"] if summary.unclaimed else []
    return replace(
        measurement,
        timing=replace(timing, clock=clock, samples=len(samples), calls_a_sample=1, effective=summary.effective),
        median_ns=summary.median,
        ci_low_ns=summary.low if math.isfinite(summary.low) else None,
        ci_high_ns=summary.high if math.isfinite(summary.high) else None,
        flags=(*measurement.flags, flag, *unclaimed),
    )
