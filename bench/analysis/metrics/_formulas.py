"""Formulas that several metrics share, each written once: what differs between those metrics is its parameter."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from attnlab.bench import units
from attnlab.bench.contract.beyond import Remark
from attnlab.bench.contract.metric import Row
from attnlab.bench.contract.roofline import SpeedOfLight
from attnlab.bench.llm.generation import latencies, measured
from attnlab.bench.llm.generation.events import RequestLog
from attnlab.bench.ranks.quantities import quantity_of
from attnlab.bench.store.records import Measurement, RunRecord

Formula = Callable[[Measurement], float | None]
Share = Callable[[Row], float | None]
Statistic = Callable[[Iterable[float]], float | None]
Above = Callable[[RunRecord, float | None, str, int | None], Remark | None]

DECODING, PREFILL = ("decode", "verify"), ("prefill",)


def quantities_of_passes(passes: Sequence[str]) -> tuple[str, ...]:
    """What is stored of passes of these kinds."""
    return tuple(f"{kind}_{name}" for kind in passes for name in ("pass", "bytes"))


def largest(values: Iterable[float]) -> float | None:
    """None of nothing."""
    return max(values, default=None)


def percentile(share: float) -> Statistic:
    """What this share of the values stays below; None of too few values."""
    return lambda values: latencies.percentile(values, share)


def of_samples(samples: Callable[[Measurement], Iterable[float]], statistic: Statistic = measured.median) -> Formula:
    """A statistic of all samples that a measurement gives."""
    return lambda measurement: statistic(samples(measurement))


def of_requests(figure: Callable[[RequestLog], float | None], statistic: Statistic = measured.median) -> Formula:
    """A statistic of a figure of each request of each call."""
    return of_samples(lambda measurement: measured.of_requests(measurement, figure), statistic)


def of_calls(figure: Callable[[list[RequestLog]], float | None], statistic: Statistic = measured.median) -> Formula:
    """A statistic of a figure of each call."""
    return of_samples(lambda measurement: measured.of_calls(measurement, figure), statistic)


def of_series(quantity: str, clock: str | None = None, statistic: Statistic = measured.median) -> Formula:
    """A statistic of the values that are stored of a quantity, in its unit; of one clock, where one is named."""
    return of_samples(lambda measurement: measurement.values(quantity, clock), statistic)


def amount_of(quantity: str) -> Formula:
    """A figure of the case that is stored beside each of its measurements; None where it is not."""
    return lambda measurement: next(iter(measurement.values(quantity)), None)


def per_second(amount: Callable[[Measurement], float | None], unit: float) -> Formula:
    """An amount of the case over the median time of a call, in so many a second."""

    def rate(measurement: Measurement) -> float | None:
        count = amount(measurement)
        if not count or not measurement.median_ns:
            return None
        return units.per_second(count, measurement.median_ns) / unit

    return rate


def share_of_light(light_of: Callable[[Row], SpeedOfLight | None]) -> Share:
    """The least time of a case over its median time."""

    def share(row: Row) -> float | None:
        light = light_of(row)
        if light is None or not row.measurement.median_ns:
            return None
        return light.time_ns / row.measurement.median_ns

    return share


def bytes_if_bound(row: Row, light: SpeedOfLight | None) -> int | None:
    """Bytes that a call moves where memory bounds the case; None where arithmetic does."""
    return row.measurement.bytes_moved if light is not None and light.bound == "memory" else None


def share_of_bandwidth(passes: Sequence[str], bandwidth: Callable[[RunRecord], float | None]) -> Share:
    """The median rate at which passes of these kinds read, over a bandwidth in bytes a second."""

    def share(row: Row) -> float | None:
        rate = measured.median(measured.read_rates(row.measurement, tuple(passes)))
        ceiling = None if rate is None else bandwidth(row.run)
        return None if rate is None or ceiling is None else rate / ceiling

    return share


def remark_on_passes(share: Share, passes: Sequence[str], subject: str, above: Above) -> Callable[[Row], Remark | None]:
    """What is wrong with a share of bandwidth that is more than there can be; None where nothing is."""
    return lambda row: above(row.run, share(row), subject, measured.pass_bytes(row.measurement, tuple(passes)))


def by_call(measurement: Measurement, name: str = "latency") -> list[tuple[float, ...]]:
    """Of each call over ranks, what every rank took, or told under that name."""
    series = itertools.takewhile(
        lambda series: series in measurement.series, (quantity_of(rank, name) for rank in itertools.count())
    )
    return list(zip(*(measurement.values(one) for one in series), strict=False))
