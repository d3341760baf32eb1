"""Which times can be times of calls: neither longer than what a parent saw, nor shorter than clocks and light allow."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from attnlab.bench import units
from attnlab.bench.contract import roofline
from attnlab.bench.machine.clocks import now
from attnlab.bench.measuring.common_clock import LATENCY
from attnlab.bench.measuring.observation import Observation
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Burst, Measurement, TimingRecord

HOST_CLOCKS = ("wall", "ranks_wall")
LEAST_TICKS = 3  # of the clock's steps, for a time that is one
SPENT = 1.02  # of the time that a parent saw: samples can take no longer
SEEN_SHARE = 0.5  # of the time of a call as seen from outside: the median of calls alone is shorter, but not so much
FASTER_THAN_LIGHT = 0.95  # of the published floor: below, the work cannot have been done


def samples_of(record: TimingRecord, bursts: Sequence[Burst]) -> list[float]:
    """The main clock's."""
    return [
        value
        for burst in bursts
        for series in burst.series
        if series.quantity == LATENCY and series.clock == record.clock
        for value in series.values
    ]


def no_times(record: TimingRecord | None, bursts: Sequence[Burst], seen: Observation | None) -> str | None:
    """Why samples cannot be times of calls; None where they can."""
    samples = [] if record is None else samples_of(record, bursts)
    if record is None or not samples:
        return "its process gave no times"
    wrong = next((value for value in samples if not (value > 0 and math.isfinite(value))), None)
    if wrong is not None:
        return f"its process gave a time of {wrong:g} ns, which no call takes"
    median = statistics.median(samples)
    if record.clock in HOST_CLOCKS:
        least = LEAST_TICKS * now.resolution_ns()
        if median < least:
            took, tick = units.format_time(median), units.format_time(now.resolution_ns())
            return f"took {took}, which the clock cannot tell from nothing: it is read in steps of {tick}"
    if seen is None:
        return None
    spent = sum(samples) * max(1, record.calls_a_sample)
    if spent > SPENT * seen.elapsed_ns:
        said, was = units.format_time(spent), units.format_time(seen.elapsed_ns)
        return f"its process gave times of {said} in all, taken within {was}"
    if seen.call_ns is not None and median < SEEN_SHARE * seen.call_ns:
        took, was = units.format_time(median), units.format_time(seen.call_ns)
        return f"took {took} by its own process, and {was} a call as seen from outside"
    return None


def judge_speed(measurement: Measurement, ceilings: Ceilings) -> Measurement:
    """Reject what is faster than light with cold caches.

    What passes a measured ceiling is told by who reads it, see `beyond`: the ceiling may be measured again until then.
    A rejected measurement keeps no time, only the reason: no figure of speed stands beside a wrong result.
    """
    assert measurement.median_ns is not None
    if measurement.timing is not None and measurement.timing.clock == roofline.OF_SEVERAL_DEVICES:
        return measurement
    amounts = (
        measurement.operations or 0,
        measurement.bytes_moved or 0,
        str(measurement.case.get("dtype", "")),
    )
    published = roofline.published_light(ceilings, *amounts)
    cold = measurement.timing is not None and measurement.timing.cache == "cold"
    if cold and published is not None and measurement.median_ns < FASTER_THAN_LIGHT * published.time_ns:
        return _impossible(
            measurement, f"the published peaks allow no less than {units.format_time(published.time_ns)}"
        )
    least_ns = None if cold else roofline.least_ns(ceilings, *amounts)
    if least_ns is not None and measurement.median_ns < least_ns:
        return _impossible(measurement, f"the fastest cache allows no less than {units.format_time(least_ns)}")
    return measurement


def _impossible(measurement: Measurement, light: str) -> Measurement:
    assert measurement.median_ns is not None
    took = units.format_time(measurement.median_ns)
    return replace(measurement.fail(f"faster than light: took {took} where {light}"), launches=())
