"""Warm up until stable, sample until the median is known well enough or time is up."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attnlab.bench import units
from attnlab.bench.clocks import Clock, Timer, start_all
from attnlab.bench.stats.summary import Summary, summarise
from attnlab.bench.store.records import Burst, Series, TimingRecord
from attnlab.bench.telemetry import state_notes

BURST_NS = 30 * units.NS_PER_MS
MAX_BURST_CALLS = 256
STABLE_BURSTS = 3
STABLE_SPREAD = 0.03  # of the medians, and of a GPU's clocks, of the last STABLE_BURSTS bursts
BESIDE_EVERY = 4  # bursts of the main clock for one of each clock beside it

STOPPED_AT_TARGET = "target"
STOPPED_BY_TIME = "time limit"
STOPPED_BY_COUNT = "limit of samples"


@dataclass(frozen=True)
class Effort:
    """How long one implementation may be timed on one case.

    target: half the width of the median's 95 % interval over the median, at which sampling stops.
    """

    target: float = 0.01
    sampling_limit_s: float = 2.0
    warmup_limit_s: float = 2.0
    min_samples: int = 10
    max_samples: int = 20_000


@dataclass(frozen=True)
class Timed:
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
        return _calls_a_burst(self.call_ns)


def time_calls(
    calls: Sequence[Callable[[], object]],
    clocks: Sequence[Clock],
    effort: Effort,
    now_ns: Callable[[], int] = time.perf_counter_ns,
    bytes_a_call: int = 0,
) -> Timed:
    """Time `calls` in rotation; the first clock that can time them decides when to stop, others stand beside it.

    `now_ns` is what the limits are kept by. `bytes_a_call` is what each call touches of its own. Raises
    MeasurementError where no clock can time them.
    """
    started = start_all(clocks, calls, bytes_a_call)
    main = started.timers[0]
    warm = warm_up(main, effort, now_ns)
    bursts: list[Burst] = []
    samples: list[float] = []
    deadline = now_ns() + units.seconds_to_ns(effort.sampling_limit_s)
    stopped = STOPPED_BY_COUNT
    while not samples or len(samples) < effort.max_samples:
        used = started.timers if len(bursts) % BESIDE_EVERY == 0 else (main,)
        count = min(warm.calls_a_burst, max(1, int(effort.max_samples) - len(samples)))
        bursts.append(take_burst(used, count))
        samples += bursts[-1].series[0].values
        if len(samples) >= effort.min_samples and summarise(samples).relative_half_width <= effort.target:
            stopped = STOPPED_AT_TARGET
            break
        if now_ns() >= deadline:
            stopped = STOPPED_BY_TIME
            break
    record = TimingRecord(
        clock=main.clock,
        cache=main.cache,
        copies=len(calls),
        warmup_calls=warm.calls,
        warmup_ns=warm.elapsed_ns,
        warmup_stable=warm.stable,
        samples=len(samples),
        stopped=stopped,
        calls_a_sample=main.calls_a_sample,
    )
    notes = [*started.notes, *(note for timer in started.timers for note in timer.notes())]
    held_down = state_notes([burst.state for burst in bursts if burst.state is not None])
    return Timed(tuple(bursts), record, summarise(samples), (*notes, *held_down))


def warm_up(timer: Timer, effort: Effort, now_ns: Callable[[], int] = time.perf_counter_ns) -> WarmUp:
    """Call until the medians of successive bursts agree, and a GPU's clock does; a fixed time would read it as slow."""
    start = now_ns()
    limit = units.seconds_to_ns(effort.warmup_limit_s)
    medians = [*timer.burst(1)]
    clocks_mhz: list[float] = []
    done, stable = 1, False
    while not stable and now_ns() - start < limit:
        count = _calls_a_burst(medians[-1])
        medians.append(statistics.median(timer.burst(count)))
        done += count
        state = timer.state()
        if state is not None and state.sm_clock_mhz is not None:
            clocks_mhz.append(state.sm_clock_mhz)
        stable = len(medians) > STABLE_BURSTS and _steady(medians) and _steady(clocks_mhz)
    return WarmUp(done, float(now_ns() - start), stable, medians[-1])


def take_burst(timers: Sequence[Timer], count: int) -> Burst:
    """`count` calls by each timer, one timer after another, and the device's state after them."""
    started_s = time.time()
    series = [Series("latency", "ns", timer.clock, "lower", tuple(timer.burst(count))) for timer in timers]
    return Burst(started_s, tuple(series), timers[0].state())


def _steady(values: Sequence[float]) -> bool:
    """Whether the last few are within a small share of each other; nothing read is nothing that moved."""
    last = values[-STABLE_BURSTS:]
    return not last or max(last) <= (1 + STABLE_SPREAD) * min(last)


def _calls_a_burst(call_ns: float) -> int:
    return int(min(MAX_BURST_CALLS, max(1, BURST_NS // max(call_ns, 1.0))))
