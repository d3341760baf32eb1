"""Times of warm calls: their median, their mean, in which rare slow calls show, and their 95th percentile."""

from __future__ import annotations

import statistics

from attnlab.bench.gate.quantities import LATENCY, Quantity, Sample
from attnlab.bench.llm.generation.latencies import percentile
from attnlab.bench.stats.paired import log_ratio
from attnlab.bench.store.records import Burst

FLOOR_NS, CUDA_FLOOR_NS = 100.0, 500.0  # changes of a call's time below this are the timer's own


def bursts_of(sample: Sample) -> list[tuple[float, ...]]:
    """The samples of each burst by the main clock, in nanoseconds."""
    launches = sample.measurement.launches
    return [taken for launch in launches for burst in launch.bursts if (taken := times_ns(burst))]


def times_ns(burst: Burst) -> tuple[float, ...]:
    """Of the main clock; () of a burst that holds no times of calls."""
    first = burst.series[0] if burst.series else None
    return first.values if first is not None and first.quantity == LATENCY else ()


def medians(sample: Sample) -> list[float]:
    """Of each burst, in nanoseconds."""
    return [statistics.median(values) for values in bursts_of(sample)]


def median(sample: Sample) -> float | None:
    found = medians(sample)
    return statistics.median(found) if found else None


def mean(sample: Sample) -> float | None:
    if sample.measurement.paced is not None:
        return None
    found = [value for values in bursts_of(sample) for value in values]
    return statistics.fmean(found) if found else None


def p95(sample: Sample) -> float | None:
    if sample.measurement.paced is not None:
        return None
    return percentile((value for values in bursts_of(sample) for value in values), 0.95)


def of_bursts(base: Sample, head: Sample) -> float:
    """The median over bursts that took turns, so that what both arms suffer together falls out."""
    return log_ratio(medians(base), medians(head))


QUANTITIES = (
    Quantity(LATENCY, "latency", "ns", median, 0.03, FLOOR_NS, timer=True, cuda_floor=CUDA_FLOOR_NS, pairing=of_bursts),
    Quantity("latency_mean", "mean latency", "ns", mean, 0.15, 10 * FLOOR_NS, timer=True, cuda_floor=10 * FLOOR_NS),
    Quantity("latency_p95", "p95 latency", "ns", p95, 0.30, 10 * FLOOR_NS, timer=True, cuda_floor=10 * FLOOR_NS),
)
