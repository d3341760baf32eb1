"""Whether this machine can be trusted to time on: findings, each with its figure and a remedy if needed."""

from __future__ import annotations

import functools
import itertools
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from attnlab.bench import availability, roofline, units
from attnlab.bench.clocks import main_timer
from attnlab.bench.environment import Environment
from attnlab.bench.roofline import Ceilings

KNOWN_CALL_NS = 20 * units.NS_PER_MS
SPREAD_WORTH_A_WORD = 0.05
SIGN_OF_A_FLUSH = 1.05  # a cold read takes longer than a hot one by more than this


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. remedy is None where all is well."""

    name: str
    value: str
    remedy: str | None = None

    @property
    def good(self) -> bool:
        return self.remedy is None


def examine(environment: Environment, ceilings: Ceilings) -> Iterator[Finding]:
    """Look at the machine now; takes a few seconds."""
    yield Finding("device", environment.device.name)
    yield _timer_resolution()
    yield _empty_call(environment.device.kind)
    yield _steadiness(environment.device.kind)
    if environment.device.kind == "cuda":
        yield _flush()
    yield _load(environment)
    yield _threads(environment)
    if environment.governor is not None:
        slow = environment.governor not in ("performance", "schedutil")
        yield Finding(
            "CPU frequency governor",
            environment.governor,
            "clocks may be low at first: choose 'performance' (cpupower frequency-set -g performance)"
            if slow
            else None,
        )
    reason = availability.compiler_reason()
    yield Finding("C++ compiler and Python's headers", "found" if reason is None else "missing", reason)
    yield Finding("copy bandwidth, measured", f"{units.format_count(ceilings.bandwidth)}B/s")
    for dtype, rate in ceilings.rates.items():
        yield Finding(f"matrix rate {dtype}, measured", f"{units.format_count(rate)}FLOP/s")


def _timer_resolution() -> Finding:
    stamps = [time.perf_counter_ns() for _ in range(10_000)]
    step = min(b - a for a, b in itertools.pairwise(stamps) if b > a)
    coarse = step > 1_000
    return Finding(
        "timer resolution",
        units.format_time(step),
        "time only calls of a millisecond or more" if coarse else None,
    )


def _empty_call(kind: str) -> Finding:
    import torch

    timer = main_timer(torch.device(kind), [lambda: None])
    median = statistics.median(timer.burst(256))
    return Finding(f"an empty call by clock {timer.clock}", units.format_time(median))


def _steadiness(kind: str) -> Finding:
    """The spread of a call of known work, from the 10th to the 90th percentile, over its median."""
    import torch

    device = torch.device(kind)
    a = torch.randn(512, 512, device=device)
    timer = main_timer(device, [functools.partial(torch.matmul, a, a)])
    timer.burst(20)
    samples: list[float] = []
    while sum(samples) < 10 * KNOWN_CALL_NS:
        samples += timer.burst(10)
    deciles = statistics.quantiles(samples, n=10)
    spread = (deciles[8] - deciles[0]) / statistics.median(samples)
    noisy = spread > SPREAD_WORTH_A_WORD
    return Finding(
        "spread of a repeated matrix product (10th to 90th percentile)",
        units.format_share(spread),
        "other work disturbs this machine: compare only implementations measured in one run" if noisy else None,
    )


def _flush() -> Finding:
    """Whether a call that reads half the L2 finds it emptied by the clock."""
    import torch

    from attnlab.bench.clocks.cuda_events import CudaEvents

    device = torch.device("cuda")
    half = torch.ones(torch.cuda.get_device_properties(device).L2_cache_size // 2, dtype=torch.uint8, device=device)
    call = functools.partial(torch.amax, half)
    cold_ns, hot_ns = (
        statistics.median(CudaEvents(device, cache).start([call], 0).burst(50)) for cache in ("cold", "hot")
    )
    fails = cold_ns <= SIGN_OF_A_FLUSH * hot_ns
    return Finding(
        "reading half the L2, emptied before and not",
        f"{units.format_time(cold_ns)} and {units.format_time(hot_ns)}",
        "the L2 is not emptied between calls: take times of data that fits into it as hot" if fails else None,
    )


def _load(environment: Environment) -> Finding:
    load = environment.load_average
    if load is None:
        return Finding("load average", units.MISSING)
    busy = load > 0.5 * environment.cores
    return Finding(
        "load average",
        f"{load:.2f} on {environment.cores} cores",
        "stop what else is running, or times will be long and scattered" if busy else None,
    )


def _threads(environment: Environment) -> Finding:
    usable = len(environment.affinity) or environment.cores
    off = environment.threads > usable
    return Finding(
        "threads",
        f"{environment.threads} on {usable} usable cores",
        f"set OMP_NUM_THREADS={usable}: more threads than cores wait for each other" if off else None,
    )


def measured_now(environment: Environment) -> Ceilings:
    """Ceilings measured anew, which also replaces those in the user's cache."""
    return roofline.load_or_measure(environment.device, fresh=True)
