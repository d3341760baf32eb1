"""Stored runs side by side: ratios of time, with a verdict only where the spread between processes is known."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from attnlab.bench.common_clock import LATENCY, method_of
from attnlab.bench.history.differences import differences
from attnlab.bench.history.points import Point, point_or_miss
from attnlab.bench.stats.family import benjamini_hochberg
from attnlab.bench.stats.paired import Interval, log_ratio
from attnlab.bench.stats.sequential import Looks
from attnlab.bench.stats.verdict import ALPHA, TARGET, Compared, Rule, Verdict, judge, verdict_of
from attnlab.bench.store.jsonl import StoredRun, latest
from attnlab.bench.store.records import Launch, Measurement, Outcome, RunRecord

INTERLEAVED = "interleaved"  # key of RunRecord.extra: the id that both runs of one gate share
LEAST_RUNS = 3  # a side, before their scatter says anything

Key = tuple[str, str, str]


class Basis(Enum):
    """What is known of a ratio's spread."""

    INTERLEAVED = "interleaved pairs of processes"
    RUNS = "the scatter of runs"
    NOTHING = "nothing: one run a side says nothing of the next process"


@dataclass(frozen=True)
class Comparison:
    """One benchmark of two sides; ratio is time on head over base. verdict is None where the spread is unknown."""

    operator: str
    implementation: str
    case_id: str
    verdict: Verdict | None
    reason: str | None = None
    base_ns: float | None = None
    head_ns: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    basis: Basis = Basis.NOTHING
    units: int = 0


@dataclass
class _Side:
    """All that one side measured of a benchmark."""

    runs: list[RunRecord] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)


def compare(base: Sequence[StoredRun], head: Sequence[StoredRun], target: float = TARGET) -> list[Comparison]:
    """Each benchmark that either side has; verdicts are adjusted for the number of benchmarks."""
    sides = _by_benchmark(base), _by_benchmark(head)
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    found = {key: _compared(key, sides[0].get(key), sides[1].get(key)) for key in keys}
    told = {key: c for key, (c, ratios) in found.items() if ratios}
    family = {
        key: Compared(tuple(ratios), float(c.base_ns or 0.0), target) for key, (c, ratios) in found.items() if ratios
    }
    verdicts: dict[Key, Comparison] = {}
    for pairs in {len(c.log_ratios) for c in family.values()}:
        same = {key: c for key, c in family.items() if len(c.log_ratios) == pairs}
        for key, judged in judge(same, pairs, Rule(Looks((pairs,)), ALPHA), len(family)).items():
            c = told[key]
            verdicts[key] = _with(c, judged.verdict, judged.ratio, judged.low, judged.high, Basis.INTERLEAVED, pairs)
    by_runs = _by_runs({key: c for key, (c, _) in found.items() if key not in verdicts}, sides, target)
    return [verdicts.get(key) or by_runs.get(key) or c for key, (c, _) in found.items()]


def recorded_differences(base: Sequence[StoredRun], head: Sequence[StoredRun]) -> dict[str, int]:
    """What was recorded otherwise of head than of base, such as a package's version: of how many benchmarks."""
    sides = [_points(side) for side in (base, head)]
    count: dict[str, int] = {}
    for key in sides[0].keys() & sides[1].keys():
        for difference in differences(sides[0][key], sides[1][key]):
            count[str(difference)] = count.get(str(difference), 0) + 1
    return dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))


def _points(runs: Sequence[StoredRun]) -> dict[Key, list[Point]]:
    found: dict[Key, list[Point]] = {}
    for stored in runs:
        for m in latest(stored.measurements):
            point = point_or_miss(stored.run, m)
            if isinstance(point, Point):
                found.setdefault(m.key, []).append(point)
    return found


def _by_benchmark(runs: Sequence[StoredRun]) -> dict[Key, _Side]:
    found: dict[Key, _Side] = {}
    for stored in runs:
        for measurement in latest(stored.measurements):
            side = found.setdefault(measurement.key, _Side())
            side.runs.append(stored.run)
            side.measurements.append(measurement)
    return found


def _compared(key: Key, base: _Side | None, head: _Side | None) -> tuple[Comparison, list[float]]:
    """The comparison without its spread, and the log-ratios of pairs where the sides were interleaved."""
    reason = _incomparable(base, head)
    if reason is not None or base is None or head is None:
        return Comparison(*key, Verdict.INCOMPARABLE, reason), []
    base_ns, head_ns = (statistics.median(m.median_ns or 0.0 for m in s.measurements) for s in (base, head))
    plain = Comparison(*key, None, None, base_ns, head_ns, head_ns / base_ns)
    return plain, _pairs(base, head)


def _incomparable(base: _Side | None, head: _Side | None) -> str | None:
    """The first reason why two sides must not be set against each other."""
    if base is None or head is None:
        return f"{'base' if base is None else 'head'} has no such measurement"
    for name, side in (("base", base), ("head", head)):
        for m in side.measurements:
            if m.outcome is not Outcome.PASSED:
                return f"{name}: {m.outcome.value}: {m.reason or 'no reason stored'}"
            if not m.median_ns or m.timing is None:
                return f"{name}: not timed: {m.untimed or 'no time stored'}"
    return next(_differences(base, head), None)


def _differences(base: _Side, head: _Side) -> Iterator[str]:
    """What differs of machine, device, threads, clock, cache state or definitions, within a side or between them."""
    runs, measurements = [*base.runs, *head.runs], [*base.measurements, *head.measurements]
    for what, values in (
        ("machines", [r.environment.processor for r in runs]),
        ("devices", [r.environment.device.name for r in runs]),
        ("numbers of threads", [r.environment.threads for r in runs]),
        ("versions of the definitions", [m.definitions_version for m in measurements]),
        ("clocks", [m.timing.clock for m in measurements if m.timing]),
        ("cache states", [m.timing.cache for m in measurements if m.timing]),
        ("numbers of calls a sample", [method_of(m.timing).uncorrected for m in measurements if m.timing]),
    ):
        different = list(dict.fromkeys(values))
        if len(different) > 1:
            yield f"different {what}: {' and '.join(map(str, different))}"


def _pairs(base: _Side, head: _Side) -> list[float]:
    """One log-ratio a live pair; none where the sides are not the two arms of one gate."""
    if len(base.runs) != 1 or len(head.runs) != 1:
        return []
    ids = {side.runs[0].extra.get(INTERLEAVED) for side in (base, head)}
    launches = base.measurements[0].launches, head.measurements[0].launches
    if ids == {None} or len(ids) != 1 or len(launches[0]) != len(launches[1]):
        return []
    return [log_ratio(_burst_medians(b), _burst_medians(h)) for b, h in zip(*launches, strict=True)]


def _burst_medians(launch: Launch) -> list[float]:
    times = [burst.series[0] for burst in launch.bursts if burst.series]
    return [statistics.median(taken.values) for taken in times if taken.quantity == LATENCY]


def _by_runs(
    comparisons: Mapping[Key, Comparison], sides: tuple[Mapping[Key, _Side], Mapping[Key, _Side]], target: float
) -> dict[Key, Comparison]:
    """Verdicts by the scatter of several runs a side: Welch's test of log medians, by Benjamini and Hochberg.

    A survey of stored runs wants few false verdicts among those it gives; a gate, which is stopped by any
    single one, adjusts by Holm.
    """
    logs = {
        key: [np.log([float(m.median_ns or math.nan) for m in side[key].measurements]) for side in sides]
        for key, c in comparisons.items()
        if c.verdict is not Verdict.INCOMPARABLE
    }
    tests = {key: _welch(*both) for key, both in logs.items() if min(map(len, both)) >= LEAST_RUNS}
    adjusted = benjamini_hochberg([test.p_value for test in tests.values()])
    found = {}
    for (key, test), p_value in zip(tests.items(), adjusted, strict=True):
        verdict = verdict_of(test.estimate, test.interval, p_value <= ALPHA, target)
        ends = math.exp(test.interval.low), math.exp(test.interval.high)
        count = min(map(len, logs[key]))
        found[key] = _with(comparisons[key], verdict, math.exp(test.estimate), *ends, Basis.RUNS, count)
    return found


@dataclass(frozen=True)
class _Welch:
    estimate: float
    interval: Interval
    p_value: float


def _welch(base: NDArray[np.float64], head: NDArray[np.float64]) -> _Welch:
    estimate = float(np.mean(head) - np.mean(base))
    if max(float(np.ptp(base)), float(np.ptp(head))) == 0:  # no scatter at all, for which there is no test
        return _Welch(estimate, Interval(estimate, estimate), float(estimate == 0))
    test: Any = stats.ttest_ind(head, base, equal_var=False)
    interval = test.confidence_interval(1 - ALPHA)
    return _Welch(estimate, Interval(float(interval.low), float(interval.high)), float(test.pvalue))


def _with(
    c: Comparison, verdict: Verdict, ratio: float, low: float, high: float, basis: Basis, units: int
) -> Comparison:
    ends = (low if low > 0 else None), (high if math.isfinite(high) else None)
    return Comparison(
        c.operator, c.implementation, c.case_id, verdict, None, c.base_ns, c.head_ns, ratio, *ends, basis, units
    )
