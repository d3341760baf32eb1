"""Samples of a stored measurement of `generate`: of each request, each gap and each pass, over all timed calls."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable

from attnlab.bench import units
from attnlab.bench.llm.generation.events import RequestLog, calls_of, requests_of
from attnlab.bench.llm.generation.kept import kept_of_launches
from attnlab.bench.llm.generation.latencies import icl_ns, itl_ns
from attnlab.bench.store.records import Measurement

NEAR_TIES = "share of near-ties"
"""Of the check's deviations that which says how many tokens were not the reference's first choice."""


@kept_of_launches
def of_requests(measurement: Measurement, figure: Callable[[RequestLog], float | None]) -> list[float]:
    """A figure of every request of every call that has it."""
    requests = (request for call in calls_of(measurement) for request in call)
    return [value for request in requests if (value := figure(request)) is not None]


@kept_of_launches
def of_gaps(measurement: Measurement) -> list[float]:
    """Every inter-token latency of every request of every call."""
    return [gap for call in calls_of(measurement) for request in call for gap in itl_ns(request)]


@kept_of_launches
def of_chunks(measurement: Measurement) -> list[float]:
    """Every inter-chunk latency of every request of every call."""
    return [gap for call in calls_of(measurement) for request in call for gap in icl_ns(request)]


@kept_of_launches
def of_calls(measurement: Measurement, figure: Callable[[list[RequestLog]], float | None]) -> list[float]:
    """A figure of every call that has it."""
    return [value for call in calls_of(measurement) if (value := figure(call)) is not None]


def median(values: Iterable[float]) -> float | None:
    """None of nothing."""
    known = list(values)
    return statistics.median(known) if known else None


@kept_of_launches
def read_rates(measurement: Measurement, kinds: tuple[str, ...]) -> list[float]:
    """Bytes that each pass of these kinds had to read over the time that it took, in bytes a second."""
    rates = []
    for kind in kinds:
        passes = zip(measurement.values(f"{kind}_bytes"), measurement.values(f"{kind}_pass"), strict=True)
        rates += [units.per_second(count, elapsed_ns) for count, elapsed_ns in passes if elapsed_ns > 0]
    return rates


def pass_bytes(measurement: Measurement, kinds: tuple[str, ...]) -> int | None:
    """The median of the bytes that passes of these kinds had to read; None where there were none."""
    counts = [count for kind in kinds for count in measurement.values(f"{kind}_bytes")]
    return int(statistics.median(counts)) if counts else None


def joules_a_token(measurement: Measurement) -> float | None:
    """Energy that the GPU counted from the end of one call to the end of the next, over the tokens of that call."""
    found = []
    for launch in measurement.launches:
        for before, burst in zip(launch.bursts, launch.bursts[1:], strict=False):
            spent = (burst.state.energy_j if burst.state else None, before.state.energy_j if before.state else None)
            if spent[0] is None or spent[1] is None:
                continue
            tokens = sum(request.chunks[-1][1] for request in requests_of(burst) if request.answered)
            if tokens:
                found.append((spent[0] - spent[1]) / tokens)
    return median(found)
