"""Probes of the clock: its steps, an empty call, a call of known length, and how a repeated call scatters."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator

from attnlab.bench import units
from attnlab.bench.doctor.finding import Finding, Inspection, Patient
from attnlab.bench.machine.clocks import start_all
from attnlab.bench.machine.gpu import Gpu

COARSE_NS = 1_000
KNOWN_NS = units.NS_PER_MS
KNOWN_CALLS = 41
OFF = 0.02  # what a clock may be off on a call of known length
SAMPLED_NS = 200 * units.NS_PER_MS
MOST_SAMPLES = 1_000  # however short a call is
SPREAD_WORTH_A_WORD = 0.05


def resolution(patient: Patient) -> Iterator[Finding]:
    """The least step of the host's timer."""
    stamps = [patient.now_ns() for _ in range(10_000)]
    step = min(b - a for a, b in itertools.pairwise(stamps) if b > a)
    remedy = "time only calls of a millisecond or more" if step > COARSE_NS else None
    yield Finding("timer resolution", units.format_time(step), remedy)


def empty_call(patient: Patient) -> Iterator[Finding]:
    """What the clock reads where nothing is done: on a GPU, for a kernel that does nothing, and what was subtracted."""
    gpu = patient.gpu
    call: Callable[[], object] = (lambda: gpu.spin(0)) if gpu else (lambda: None)
    timers = start_all(patient.clocks, [call]).timers
    timers[0].burst(8)
    read_ns = statistics.median(timers[0].burst(256))
    yield Finding(f"an empty call by clock {timers[0].clock}", units.format_time(read_ns))
    for timer in timers:
        if timer.null_ns is not None:
            value = f"{units.format_time(timer.null_ns)}, subtracted from its samples"
            yield Finding(f"null span of clock {timer.clock}", value)


def known_call(patient: Patient) -> Iterator[Finding]:
    """What the clock reads for a call that is known to take a millisecond, by the host's own timer."""
    call = _spinning(patient)
    known_ns = KNOWN_NS if patient.gpu is None else _length_ns(patient, patient.gpu, call)
    timer = start_all(patient.clocks, [call]).timers[0]
    timer.burst(3)
    read_ns = statistics.median(timer.burst(KNOWN_CALLS))
    off = abs(read_ns - known_ns) / known_ns > OFF
    yield Finding(
        f"a call of known length by clock {timer.clock}",
        f"{units.format_time(read_ns)} where it takes {units.format_time(known_ns)}",
        "the clock is off, or other work kept it waiting: stop what else is running and look again; if it stays "
        "so, compare only implementations measured in one run"
        if off
        else None,
    )


def _spinning(patient: Patient) -> Callable[[], object]:
    gpu, now = patient.gpu, patient.now_ns
    if gpu is not None:
        return lambda: gpu.spin(KNOWN_NS)

    def spin() -> None:
        end = now() + KNOWN_NS
        while now() < end:
            pass

    return spin


def _length_ns(patient: Patient, gpu: Gpu, call: Callable[[], object]) -> float:
    """A call's length by the host's timer: many, one behind the other, so that starting and waiting do not count."""
    call()
    gpu.synchronise()
    start = patient.now_ns()
    for _ in range(KNOWN_CALLS):
        call()
    gpu.synchronise()
    return (patient.now_ns() - start) / KNOWN_CALLS


def steadiness(patient: Patient) -> Iterator[Finding]:
    """The spread of a call of the same work, from the 10th to the 90th percentile, over its median."""
    timer = start_all(patient.clocks, [patient.work]).timers[0]
    timer.burst(20)
    samples: list[float] = []
    while sum(samples) < SAMPLED_NS and len(samples) < MOST_SAMPLES:
        samples += timer.burst(10)
    deciles = statistics.quantiles(samples, n=10)
    spread = (deciles[8] - deciles[0]) / statistics.median(samples)
    yield Finding(
        "spread of a repeated matrix product (10th to 90th percentile)",
        units.format_share(spread),
        "other work disturbs this machine: compare only implementations measured in one run"
        if spread > SPREAD_WORTH_A_WORD
        else None,
    )


INSPECTIONS = (
    Inspection(10, resolution),
    Inspection(20, empty_call),
    Inspection(30, known_call),
    Inspection(40, steadiness),
)
