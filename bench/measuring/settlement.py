"""What comes of what a worker claims: outcome, figures and flags are worked out here, from what is known without it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from attnlab.bench.contract.operator_spec import Attestation, Fact
from attnlab.bench.machine.clocks import now
from attnlab.bench.machine.throttling import burst_notes
from attnlab.bench.measuring.common_clock import LATENCY
from attnlab.bench.measuring.judging.refusals import ROUNDED, NotJudged
from attnlab.bench.measuring.judging.verdicts import Findings, Owed
from attnlab.bench.measuring.modes import modes_told
from attnlab.bench.measuring.observation import Observation
from attnlab.bench.measuring.plausibility import judge_speed, no_times, samples_of
from attnlab.bench.measuring.timing import STOPPED_AT_TARGET, STOPPED_BY_ROUNDS, Timing
from attnlab.bench.stats.summary import Summary, summarise
from attnlab.bench.store.machine import Ceilings
from attnlab.bench.store.records import Burst, Launch, Measurement, Outcome, Series, TimingRecord

NO_TIMED_OUTPUT = "its process gave no output of a timed call to be judged"


Testify = Callable[[int, Sequence[tuple[tuple[Series, ...], float]]], Attestation]
"""Given over how many sets of inputs calls rotated, and of each call what it said and its time; raises NotJudged."""


@dataclass(frozen=True)
class Grounds:
    """What is known of an implementation on a case without a word of its own process.

    findings: the judge's. owed: sets of inputs on which outputs had to be handed over; none where the check was made in
    an earlier process. process: its number; None where it is this one. shows: whether it had to make calls that the
    parent timed. testify: what is to be said of what timed calls said of themselves; None where they say nothing.
    judged: whether outputs are judged; those of a test are checked by itself.
    """

    findings: Findings
    owed: tuple[Owed, ...]
    poisoned: bool
    process: int | None = None
    seen: Observation | None = None
    shows: bool = False
    testify: Testify | None = None
    judged: bool = True


def settle(
    claim: Measurement,
    blank: Measurement,
    grounds: Grounds,
    ceilings: Ceilings,
    facts: Callable[[], tuple[Fact, ...]] = tuple,
    final: bool = True,
) -> Measurement:
    """The measurement that comes of what a worker says of itself, and of what is known without it.

    Of the claim are taken: that it failed and why, raw samples and how they were taken, set-up, memory, and its words.
    Figures of error, the outcome, the median with its interval, and flags are worked out here. facts: the contract's of
    the case. final: whether there must be times, or a reason why there are none; until then samples stay as they came.
    """
    findings = grounds.findings
    told = replace(
        blank,
        outcome=claim.outcome,
        reason=claim.reason,
        detail=claim.detail,
        configuration=claim.configuration,
        untimed=claim.untimed,
        phases_ns=claim.phases_ns,
        flags=claim.flags,
        check=findings.record(grounds.poisoned),
    )
    if findings.not_judged is not None:
        error = findings.not_judged
        return told.fail(str(error), error.detail)
    if findings.refusal is not None:
        outcome, reason = findings.refusal
        return told.fail(reason, outcome=outcome)
    if claim.outcome is not Outcome.PASSED:
        return told
    missing = findings.missing(grounds.owed)
    if missing:
        reason = f"its process gave no outputs to be judged on {', '.join(dict.fromkeys(missing))} inputs"
        return told.fail(reason)
    if not final:
        return replace(told, launches=claim.launches)
    if claim.untimed is not None:
        return told
    return _timed(claim, told, grounds, ceilings, facts)


def _timed(
    claim: Measurement, told: Measurement, grounds: Grounds, ceilings: Ceilings, facts: Callable[[], tuple[Fact, ...]]
) -> Measurement:
    record, bursts = claim.timing, [burst for launch in claim.launches for burst in launch.bursts]
    taken = [burst for burst in bursts if any(series.quantity == LATENCY for series in burst.series)]
    why = no_times(record, taken, grounds.seen)
    if why is None and grounds.shows and (grounds.seen is None or grounds.seen.call_ns is None):
        why = "its process made no calls for its times to be held against"
    if why is None and grounds.judged and not grounds.findings.timed:
        why = NO_TIMED_OUTPUT
    if why is not None or record is None:
        return told.fail(why)
    try:
        said = testimony(grounds.testify, record, taken)
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
    done = with_times(told, Timing(tuple(taken), record, summary, notes), ceilings, (*beside, *known))
    if grounds.process is None:
        return done
    return replace(done, launches=tuple(replace(launch, process=grounds.process) for launch in done.launches))


def testimony(testify: Testify | None, record: TimingRecord, bursts: Sequence[Burst]) -> Attestation:
    """What is to be said of what timed calls said of themselves, each of which is a burst of its own."""
    if testify is None:
        return Attestation()
    assert record.copies is not None, "of a time that was taken here"
    calls = [(burst.series, sum(samples_of(record, [burst]))) for burst in bursts]
    return testify(record.copies, calls)


def with_times(
    measurement: Measurement, timed: Timing, ceilings: Ceilings, beside: tuple[Series, ...] = ()
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
        flags = (*timed.notes, *_flags_of_check(done))
        return replace(done, flags=flags, median_ns=None, ci_low_ns=None, ci_high_ns=None)
    samples = samples_of(timed.record, timed.bursts)
    return judge_speed(replace(done, flags=(*timed.notes, *_flags(done, timed.summary, samples))), ceilings)


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _flags(measurement: Measurement, summary: Summary, samples: Sequence[float]) -> Iterator[str]:
    timing = measurement.timing
    in_turn = timing is not None and timing.stopped == STOPPED_BY_ROUNDS  # warmed by a call each
    if timing is not None and not timing.warmup_stable and not in_turn:
        yield "warm-up ended by its time limit, not because the time was stable"
    if summary.unclaimed and not in_turn:
        yield f"no interval is claimed: {summary.unclaimed}"
    elif timing is not None and timing.stopped not in (STOPPED_AT_TARGET, STOPPED_BY_ROUNDS):
        yield f"sampling ended by its {timing.stopped}, before the interval was as narrow as asked"
    modes = None if in_turn else modes_told(samples)
    if modes is not None:
        yield modes
    yield from _flags_of_check(measurement)


def _flags_of_check(measurement: Measurement) -> Iterator[str]:
    check = measurement.check
    if check is not None and check.withheld:
        yield f"judged without {', '.join(check.withheld)}, which it does not give"
    if check is not None and check.rounds is not None:
        yield f"rounds more than the contract lets it, as declared: {ROUNDED.get(check.rounds, check.rounds)}"
    if check is not None and check.blunt:
        yield f"the check of this case cannot tell apart: {', '.join(check.blunt)}"
