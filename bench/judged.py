"""What becomes of times that were taken: a measurement with its samples, flagged, and judged by the ceilings."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace

from attnlab.bench import roofline, units
from attnlab.bench.roofline import Ceilings
from attnlab.bench.stats.summary import Summary
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, Series
from attnlab.bench.timing import STOPPED_AT_TARGET, STOPPED_BY_ROUNDS, Timed

FASTER_THAN_LIGHT = 0.95  # of the published floor: below, the work cannot have been done


def with_times(
    measurement: Measurement, timed: Timed, ceilings: Ceilings, beside: tuple[Series, ...] = ()
) -> Measurement:
    """The measurement with its samples, `beside` in a burst of its own, flagged and judged by the ceilings."""
    bursts = (*timed.bursts, *([Burst(time.time(), beside)] if beside else ()))
    done = replace(
        measurement,
        timing=timed.record,
        launches=(Launch(os.getpid(), bursts),),
        median_ns=timed.summary.median,
        ci_low_ns=_finite(timed.summary.low),
        ci_high_ns=_finite(timed.summary.high),
    )
    return judge_speed(replace(done, flags=(*timed.notes, *_flags(done, timed.summary))), ceilings)


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _flags(measurement: Measurement, summary: Summary) -> Iterator[str]:
    timing, check = measurement.timing, measurement.check
    in_turn = timing is not None and timing.stopped == STOPPED_BY_ROUNDS  # warmed by a call each
    if timing is not None and not timing.warmup_stable and not in_turn:
        yield "warm-up ended by its time limit, not because the time was stable"
    if summary.unclaimed and not in_turn:
        yield f"no interval is claimed: {summary.unclaimed}"
    elif timing is not None and timing.stopped not in (STOPPED_AT_TARGET, STOPPED_BY_ROUNDS):
        yield f"sampling ended by its {timing.stopped}, before the interval was as narrow as asked"
    if check is not None and check.blunt:
        yield f"the check of this case cannot tell apart: {', '.join(check.blunt)}"


def judge_speed(measurement: Measurement, ceilings: Ceilings) -> Measurement:
    """Reject what is faster than light with cold caches; flag what is faster than the measured ceiling.

    A rejected measurement keeps no time, only the reason: no figure of speed stands beside a wrong result.
    """
    assert measurement.median_ns is not None
    amounts = (
        measurement.operations or 0,
        measurement.bytes_moved or 0,
        str(measurement.case.get("dtype", "")),
    )
    published = roofline.published_light(ceilings, *amounts)
    cold = measurement.timing is not None and measurement.timing.cache == "cold"
    if cold and published is not None and measurement.median_ns < FASTER_THAN_LIGHT * published.time_ns:
        took, floor = units.format_time(measurement.median_ns), units.format_time(published.time_ns)
        return replace(
            measurement,
            outcome=Outcome.FAILED,
            reason=f"faster than light: took {took} where the published peaks allow no less than {floor}",
            median_ns=None,
            ci_low_ns=None,
            ci_high_ns=None,
            timing=None,
            launches=(),
        )
    measured = roofline.measured_light(ceilings, *amounts, measurement.bytes_written)
    if measured is not None and measurement.median_ns < measured.time_ns:
        flag = "faster than the measured ceiling: the data stayed in a cache, or the ceiling was measured low"
        return replace(measurement, flags=(*measurement.flags, flag))
    return measurement
