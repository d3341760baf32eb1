"""Warm up until stable, sample until the median is known well enough or time is up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from attnlab.bench import units
from attnlab.bench.machine.clocks import start_all
from attnlab.bench.machine.clocks.agreement import agreement_notes
from attnlab.bench.machine.clocks.clock import Clock, SaysMore, Timer, renew
from attnlab.bench.machine.clocks.now import perf_counter_ns
from attnlab.bench.machine.host import HostReader
from attnlab.bench.machine.throttling import burst_notes
from attnlab.bench.measuring.stopping import (
    STOPPED_AT_TARGET,
    STOPPED_BY_COUNT,
    STOPPED_BY_ROUNDS,
    STOPPED_BY_TIME,
    Effort,
    KnownWellEnough,
    StoppingRule,
)
from attnlab.bench.stats.summary import Summary, summarise
from attnlab.bench.store.plan import Plan
from attnlab.bench.store.records import Burst, Series, TimingRecord

__all__ = [
    "STOPPED_AT_TARGET",
    "STOPPED_BY_COUNT",
    "STOPPED_BY_ROUNDS",
    "STOPPED_BY_TIME",
    "Effort",
    "Sampling",
    "Timing",
    "WarmUp",
    "calls_a_burst",
    "take_burst",
    "time_calls",
    "warm_up",
]

BURST_NS = 30 * units.NS_PER_MS
LONGEST_BURST_NS = 300 * units.NS_PER_MS
MAX_BURST_CALLS = 256
STABLE_BURSTS = 3
STABLE_SPREAD = 0.03  # of the medians, and of a GPU's clocks, of the last STABLE_BURSTS bursts
BESIDE_EVERY = 4  # bursts of the main clock for one of each clock beside it


@dataclass(frozen=True)
class Timing:
    """What timing gives: raw bursts, how they were taken, and the main clock's summary.

    notes say in plain words which clocks could not be had and why, and what else was amiss.
    """

    bursts: tuple[Burst, ...]
    record: TimingRecord
    summary: Summary
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WarmUp:
    """How a warm-up went: calls made, time taken, whether the time of a call became stable, and that time."""

    calls: int
    elapsed_ns: float
    stable: bool
    call_ns: float

    @property
    def calls_a_burst(self) -> int:
        """So many calls make a burst of the usual length."""
        return calls_a_burst(self.call_ns)


Observe = Callable[[Callable[[], object], int, float], tuple[Series, ...]]
"""What a call that was just timed says of itself, given when it began and how long it took, in nanoseconds."""


class Sampling:
    """Warm-up and bursts of some calls in rotation, one at a time, so that others can have their turn between.

    The first clock that can time the calls is the main one, others stand beside it. `now_ns` is what limits are kept
    by, the time between bursts not counted. `bytes_a_call` is what each call touches of its own. Where calls are
    observed, each is a burst of its own. Raises MeasurementError where no clock can time them.
    """

    def __init__(
        self,
        calls: Sequence[Callable[[], object]],
        clocks: Sequence[Clock],
        effort: Effort,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        bytes_a_call: int = 0,
        observe: Observe | None = None,
        plan: Plan | None = None,
        rule: StoppingRule | None = None,
    ) -> None:
        self._effort, self._now_ns, self._observe, self._copies = effort, now_ns, observe, len(calls)
        self._rule = rule or KnownWellEnough(effort)
        self._last: Callable[[], object] | None = None
        self._last_begun_ns = 0
        noted = [self._noted(call) for call in calls]
        started = start_all(clocks, noted, bytes_a_call, plan)
        self._bursts: list[Burst] = []
        self._samples: list[float] = []
        self._spent_ns = 0.0
        self._stopped = STOPPED_BY_COUNT
        self._warm = warm_up(started.timers[0], effort, now_ns)
        if observe is not None:  # burst i is of the same inputs, however long the warm-up was
            started = start_all(clocks[:1], noted, bytes_a_call, plan)
        self._timers, self._notes = started.timers, started.notes
        self._main = started.timers[0]

    def _noted(self, call: Callable[[], object]) -> Callable[[], object]:
        """The call itself, or, where calls are observed, one that is remembered as the last."""
        if self._observe is None:
            return call

        return _Noting(self, call)

    def note(self, call: Callable[[], object], begun_ns: int) -> None:
        self._last, self._last_begun_ns = call, begun_ns

    @property
    def warm(self) -> WarmUp:
        """How the warm-up went."""
        return self._warm

    def pass_over(self) -> None:
        """A call that is not timed, where what lies in memory was moved since the last; calls observed are not."""
        if self._observe is None:
            self._main.burst(1)

    def burst(self, count: int | None = None) -> Burst:
        """Take the next burst, of `count` calls, or of as many as make one of the usual length."""
        begun = self._now_ns()
        left = max(1, int(self._effort.max_samples) - len(self._samples))
        usual = count or min(self._warm.calls_a_burst, left)
        count = 1 if self._observe else usual
        used = self._timers if len(self._bursts) % BESIDE_EVERY == 0 else (self._main,)
        taken = take_burst(used, count)
        self._samples += taken.series[0].values
        if self._observe is not None and self._last is not None:
            said = self._observe(self._last, self._last_begun_ns, taken.series[0].values[-1])
            taken = replace(taken, series=(*taken.series, *said))
        self._bursts.append(taken)
        self._spent_ns += self._now_ns() - begun
        return taken

    @property
    def done(self) -> bool:
        """Whether the median is known well enough, or time or samples are used up."""
        reason = self._rule.reason(self._samples, len(self._bursts), self._spent_ns)
        self._stopped = reason or self._stopped
        return reason is not None

    def timed(self, stopped: str | None = None) -> Timing:
        """All that was taken; `stopped` says why sampling ended where it was not for one of the usual reasons."""
        summary = summarise(self._samples)
        record = TimingRecord(
            clock=self._main.clock,
            cache=self._main.cache,
            copies=self._copies,
            warmup_calls=self._warm.calls,
            warmup_ns=self._warm.elapsed_ns,
            warmup_stable=self._warm.stable,
            samples=len(self._samples),
            stopped=stopped or self._stopped,
            calls_a_sample=self._main.calls_a_sample,
            effective=summary.effective,
            plan=self._main.plan,
            nulls_ns={timer.clock: timer.null_ns for timer in self._timers if timer.null_ns is not None},
        )
        notes = [*self._notes, *(note for timer in self._timers for note in timer.notes())]
        return Timing(
            tuple(self._bursts), record, summary, (*notes, *agreement_notes(self._bursts), *burst_notes(self._bursts))
        )


class _Noting:
    """A call that a sampling remembers as its last."""

    def __init__(self, sampling: Sampling, call: Callable[[], object]) -> None:
        self._sampling, self._call = sampling, call

    def __call__(self) -> None:
        self._sampling.note(self._call, perf_counter_ns())
        self._call()

    def renew(self) -> None:
        renew([self._call])


def time_calls(
    calls: Sequence[Callable[[], object]],
    clocks: Sequence[Clock],
    effort: Effort,
    now_ns: Callable[[], int] = time.perf_counter_ns,
    bytes_a_call: int = 0,
    observe: Observe | None = None,
) -> Timing:
    """Time `calls` until the median is known well enough or time is up; see `Sampling`."""
    sampling = Sampling(calls, clocks, effort, now_ns, bytes_a_call, observe)
    while not sampling.done:
        sampling.burst()
    return sampling.timed()


def warm_up(timer: Timer, effort: Effort, now_ns: Callable[[], int] = time.perf_counter_ns) -> WarmUp:
    """Call until the medians of successive bursts agree, and a GPU's clock does; a fixed time would read it as slow."""
    start = now_ns()
    limit = units.seconds_to_ns(effort.warmup_limit_s)
    medians = [*timer.burst(1)]
    clocks_mhz: list[float] = []
    done, stable = 1, False
    while not stable and now_ns() - start < limit:
        count = calls_a_burst(medians[-1])
        medians.append(statistics.median(timer.burst(count)))
        done += count
        state = timer.state()
        if state is not None and state.sm_clock_mhz is not None:
            clocks_mhz.append(state.sm_clock_mhz)
        stable = len(medians) > STABLE_BURSTS and _steady(medians) and _steady(clocks_mhz)
    return WarmUp(done, float(now_ns() - start), stable, medians[-1])


def take_burst(timers: Sequence[Timer], count: int) -> Burst:
    """`count` calls by each timer, one timer after another, the device's state after them and the host's over them."""
    started_s = time.time()
    host = HostReader()
    series = [Series("latency", "ns", timer.clock, "lower", tuple(timer.burst(count))) for timer in timers]
    beside = [one for timer in timers if isinstance(timer, SaysMore) for one in timer.series()]
    return Burst(started_s, (*series, *beside), timers[0].state(), host.read())


def _steady(values: Sequence[float]) -> bool:
    """Whether the last few are within a small share of each other; nothing read is nothing that moved."""
    last = values[-STABLE_BURSTS:]
    return not last or max(last) <= (1 + STABLE_SPREAD) * min(last)


def calls_a_burst(call_ns: float, most: int = MAX_BURST_CALLS, few: int = 1) -> int:
    """So many calls take about 30 ms, or are `most`; of slow ones `few`, where they fit into 300 ms, and 1 at least."""
    usual, slow = BURST_NS // max(call_ns, 1.0), LONGEST_BURST_NS // max(call_ns, 1.0)
    return int(min(most, max(usual, min(few, slow), 1)))
