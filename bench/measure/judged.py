"""What becomes of times that were taken: a measurement with its samples, flagged, and judged by the ceilings."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from attnlab.bench import units
from attnlab.bench.contract import roofline
from attnlab.bench.contract.operator_spec import Attested, Fact
from attnlab.bench.machine.clocks import now
from attnlab.bench.machine.throttling import burst_notes
from attnlab.bench.measure.common_clock import LATENCY
from attnlab.bench.measure.judging.refusals import ROUNDED, NotJudged
from attnlab.bench.measure.judging.verdicts import Findings, Owed
from attnlab.bench.measure.timing import STOPPED_AT_TARGET, STOPPED_BY_ROUNDS, Timed
from attnlab.bench.stats.summary import Summary, summarise
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, Series, TimingRecord

NO_TIMED_OUTPUT = "its process gave no output of a timed call to be judged"
HOST_CLOCKS = ("wall",)
LEAST_TICKS = 3  # of the clock's steps, for a time that is one
SPENT = 1.02  # of the time that a parent saw: samples can take no longer
SEEN_SHARE = 0.5  # of the time of a call as seen from outside: the median of calls alone is shorter, but not so much
FASTER_THAN_LIGHT = 0.95  # of the published floor: below, the work cannot have been done


@dataclass(frozen=True)
class Seen:
    """What a parent saw of a worker that timed, by its own clock.

    elapsed_ns: of all phases in which samples were taken. call_ns: what a call takes at least, of many that were made
    between two words of the worker; None where they were not.
    """

    elapsed_ns: float
    call_ns: float | None = None


Testify = Callable[[int, Sequence[tuple[tuple[Series, ...], float]]], Attested]
"""Given over how many sets of inputs calls rotated, and of each call what it said and its time; raises NotJudged."""


@dataclass(frozen=True)
class Heard:
    """What is known of an implementation on a case without a word of its own process.

    findings: the judge's. owed: sets of inputs on which outputs had to be handed over; none where the check was made in
    an earlier process. process: its number; None where it is this one. shows: whether it had to make calls that the
    parent timed. testify: what is to be said of what timed calls said of themselves; None where they say nothing.
    """

    findings: Findings
    owed: tuple[Owed, ...]
    poisoned: bool
    process: int | None = None
    seen: Seen | None = None
    shows: bool = False
    testify: Testify | None = None


def settle(
    claim: Measurement,
    blank: Measurement,
    heard: Heard,
    ceilings: Ceilings,
    facts: Callable[[], tuple[Fact, ...]] = tuple,
    final: bool = True,
) -> Measurement:
    """The measurement that comes of what a worker says of itself, and of what is known without it.

    Of the claim are taken: that it failed and why, raw samples and how they were taken, set-up, memory, and its words.
    Figures of error, the outcome, the median with its interval, and flags are worked out here. facts: the contract's of
    the case. final: whether there must be times, or a reason why there are none.
    """
    findings = heard.findings
    told = replace(
        blank,
        outcome=claim.outcome,
        reason=claim.reason,
        detail=claim.detail,
        configuration=claim.configuration,
        untimed=claim.untimed,
        phases_ns=claim.phases_ns,
        flags=claim.flags,
        check=findings.record(heard.poisoned),
    )
    if findings.not_judged is not None:
        error = findings.not_judged
        return told.fail(str(error), error.detail)
    if findings.refusal is not None:
        outcome, reason = findings.refusal
        return told.fail(reason, outcome=outcome)
    if claim.outcome is not Outcome.PASSED:
        return told
    missing = findings.missing(heard.owed)
    if missing:
        reason = f"its process gave no outputs to be judged on {', '.join(dict.fromkeys(missing))} inputs"
        return told.fail(reason)
    if claim.untimed is not None or not final:
        return told
    return _timed(claim, told, heard, ceilings, facts)


def _timed(
    claim: Measurement, told: Measurement, heard: Heard, ceilings: Ceilings, facts: Callable[[], tuple[Fact, ...]]
) -> Measurement:
    record, bursts = claim.timing, [burst for launch in claim.launches for burst in launch.bursts]
    taken = [burst for burst in bursts if any(series.quantity == LATENCY for series in burst.series)]
    why = no_times(record, taken, heard.seen)
    if why is None and heard.shows and (heard.seen is None or heard.seen.call_ns is None):
        why = "its process made no calls for its times to be held against"
    if why is None and not heard.findings.timed:
        why = NO_TIMED_OUTPUT
    if why is not None or record is None:
        return told.fail(why)
    try:
        said = testimony(heard.testify, record, taken)
    except NotJudged as error:
        return told.fail(str(error), error.detail)
    if said.refusal is not None:
        return told.fail(said.refusal)
    summary = summarise(samples_of(record, taken))
    notes = tuple(dict.fromkeys((*claim.flags, *said.notes, *burst_notes(taken))))
    record = replace(record, samples=summary.samples, effective=summary.effective)
    try:
        known = [Series(fact.quantity, fact.unit, None, fact.direction, (fact.value,)) for fact in facts()]
    except NotJudged as error:
        return told.fail(str(error), error.detail)
    beside = [series for burst in bursts if burst not in taken for series in burst.series]
    done = with_times(told, Timed(tuple(taken), record, summary, notes), ceilings, (*beside, *known))
    if heard.process is None:
        return done
    return replace(done, launches=tuple(replace(launch, process=heard.process) for launch in done.launches))


def testimony(testify: Testify | None, record: TimingRecord, bursts: Sequence[Burst]) -> Attested:
    """What is to be said of what timed calls said of themselves, each of which is a burst of its own."""
    if testify is None:
        return Attested()
    calls = [(burst.series, sum(samples_of(record, [burst]))) for burst in bursts]
    return testify(record.copies, calls)


def samples_of(record: TimingRecord, bursts: Sequence[Burst]) -> list[float]:
    """The main clock's."""
    return [
        value
        for burst in bursts
        for series in burst.series
        if series.quantity == LATENCY and series.clock == record.clock
        for value in series.values
    ]


def no_times(record: TimingRecord | None, bursts: Sequence[Burst], seen: Seen | None) -> str | None:
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


def with_times(
    measurement: Measurement, timed: Timed, ceilings: Ceilings, beside: tuple[Series, ...] = ()
) -> Measurement:
    """The measurement with its samples, `beside` in a burst of its own, flagged and judged by the ceilings."""
    bursts = (*timed.bursts, *([Burst(now.time_s(), beside)] if beside else ()))
    done = replace(
        measurement,
        timing=timed.record,
        launches=(Launch(os.getpid(), bursts),),
        median_ns=timed.summary.median,
        ci_low_ns=_finite(timed.summary.low),
        ci_high_ns=_finite(timed.summary.high),
    )
    if done.paced is not None:  # how narrow the interval of its calls' length is says nothing
        return replace(done, flags=timed.notes, median_ns=None, ci_low_ns=None, ci_high_ns=None)
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
    if check is not None and check.withheld:
        yield f"judged without {', '.join(check.withheld)}, which it does not give"
    if check is not None and check.rounds is not None:
        yield f"rounds more than the contract lets it, as declared: {ROUNDED.get(check.rounds, check.rounds)}"
    if check is not None and check.blunt:
        yield f"the check of this case cannot tell apart: {', '.join(check.blunt)}"


def judge_speed(measurement: Measurement, ceilings: Ceilings) -> Measurement:
    """Reject what is faster than light with cold caches.

    What passes a measured ceiling is told by who reads it, see `beyond`: the ceiling may be measured again until then.
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
