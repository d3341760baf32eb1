"""Stored runs side by side: ratios of time, with a verdict only where their processes took turns."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from attnlab.bench.analysis.comparability import Side, apart, incomparable, paced, unchecked
from attnlab.bench.analysis.history.differences import differences
from attnlab.bench.analysis.history.points import HistoryPoint, point_or_miss
from attnlab.bench.analysis.metrics import answered_rate, goodput, itl, output_rate, ttft
from attnlab.bench.contract.metric import Metric, Row
from attnlab.bench.measuring.common_clock import LATENCY
from attnlab.bench.stats.paired import log_ratio
from attnlab.bench.stats.sequential import Looks
from attnlab.bench.stats.verdict import ALPHA, TARGET, Judgement, LogRatios, Rule, Verdict, judge
from attnlab.bench.store.records import INTERLEAVED, Launch
from attnlab.bench.store.run_folder import StoredRun, latest

FIGURES = (ttft.METRIC, itl.METRIC, goodput.METRIC, answered_rate.METRIC, output_rate.METRIC)
"""What is compared of benchmarks whose calls have no latency."""

Key = tuple[str, str, str]


class Basis(Enum):
    """What is known of a ratio's spread.

    Runs that did not alternate share no drift of the machine: what they differ by may be the hour's. Judged by their
    scatter, any of 20 equal benchmarks differed in 9 % of comparisons of three runs a side, in 50 % of five.
    """

    INTERLEAVED = "interleaved pairs of processes"
    RUNS = "the scatter of runs that did not take turns"
    NOTHING = "nothing: one run a side says nothing of the next process"


@dataclass(frozen=True)
class Comparison:
    """One benchmark of two sides; ratio is time on head over base. verdict is None where they did not take turns.

    figure: what is compared where that is not the latency, such as `TTFT`, with its unit and values; of a benchmark
    that is paced by its arrivals there is one of each. low, high: of the ratio's interval. base_spread, head_spread:
    the largest over the least of a side's runs. apart: what differs where the sides are of two machines or devices: the
    ratio is then that of the machines, and there is no verdict. unchecked: whether another tool measured both, so that
    nobody knows whether they are right; there is no verdict either.
    """

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
    base_spread: float | None = None
    head_spread: float | None = None
    figure: str | None = None
    unit: str = "ns"
    base_value: float | None = None
    head_value: float | None = None
    apart: tuple[str, ...] = ()
    unchecked: bool = False


def compare(base: Sequence[StoredRun], head: Sequence[StoredRun], target: float = TARGET) -> list[Comparison]:
    """Each benchmark that either side has; verdicts are adjusted for the number of benchmarks."""
    sides = _by_benchmark(base), _by_benchmark(head)
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    found = {key: _compared(key, sides[0].get(key), sides[1].get(key)) for key in keys}
    told = {key: c for key, (c, ratios) in found.items() if ratios}
    family = {
        key: LogRatios(tuple(ratios), float(c.base_ns or 0.0), target) for key, (c, ratios) in found.items() if ratios
    }
    verdicts: dict[Key, Comparison] = {}
    for pairs in {len(c.log_ratios) for c in family.values()}:
        same = {key: c for key, c in family.items() if len(c.log_ratios) == pairs}
        for key, judged in judge(same, pairs, Rule(Looks((pairs,)), ALPHA), len(family)).items():
            verdicts[key] = _judged(told[key], judged)
    plain = [(key, verdicts.get(key) or c) for key, (c, _) in found.items()]
    return [shown for key, c in plain for shown in _shown(c, sides[0].get(key), sides[1].get(key))]


def _shown(c: Comparison, base: Side | None, head: Side | None) -> Iterator[Comparison]:
    """It, or what it measures instead of a latency, figure by figure."""
    if c.verdict is not None or base is None or head is None or not paced(base):
        yield c
        return
    for metric in FIGURES:
        values = [_median_of(side, metric) for side in (base, head)]
        if values[0] and values[1] is not None:
            yield replace(
                c,
                figure=metric.label,
                unit=metric.unit,
                base_value=values[0],
                head_value=values[1],
                ratio=values[1] / values[0],
                base_ns=None,
                head_ns=None,
                base_spread=_spread_of(base, metric),
                head_spread=_spread_of(head, metric),
            )


def _values(side: Side, metric: Metric) -> list[float]:
    rows = (Row(run, m) for run, m in zip(side.runs, side.measurements, strict=True))
    return [value for row in rows if isinstance(value := metric.value(row), float)]


def _median_of(side: Side, metric: Metric) -> float | None:
    values = _values(side, metric)
    return statistics.median(values) if values else None


def _spread_of(side: Side, metric: Metric) -> float | None:
    values = [value for value in _values(side, metric) if value > 0]
    return max(values) / min(values) if len(values) > 1 else None


def recorded_differences(base: Sequence[StoredRun], head: Sequence[StoredRun]) -> dict[str, int]:
    """What was recorded otherwise of head than of base, such as a package's version: of how many benchmarks."""
    sides = [_points(side) for side in (base, head)]
    count: dict[str, int] = {}
    for key in sides[0].keys() & sides[1].keys():
        for difference in differences(sides[0][key], sides[1][key]):
            count[str(difference)] = count.get(str(difference), 0) + 1
    return dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))


def _points(runs: Sequence[StoredRun]) -> dict[Key, list[HistoryPoint]]:
    found: dict[Key, list[HistoryPoint]] = {}
    for stored in runs:
        for m in latest(stored.measurements):
            point = point_or_miss(stored.run, m)
            if isinstance(point, HistoryPoint):
                found.setdefault(m.key, []).append(point)
    return found


def _by_benchmark(runs: Sequence[StoredRun]) -> dict[Key, Side]:
    found: dict[Key, Side] = {}
    for stored in runs:
        for measurement in latest(stored.measurements):
            side = found.setdefault(measurement.key, Side())
            side.runs.append(stored.run)
            side.measurements.append(measurement)
    return found


def _compared(key: Key, base: Side | None, head: Side | None) -> tuple[Comparison, list[float]]:
    """The comparison without its spread, and the log-ratios of pairs where the sides were interleaved."""
    reason = incomparable(base, head)
    if reason is not None or base is None or head is None:
        return Comparison(*key, Verdict.INCOMPARABLE, reason), []
    if paced(base):  # what it measures instead is worked out where it is shown
        count = min(len(base.runs), len(head.runs))
        known = Basis.RUNS if count > 1 else Basis.NOTHING
        told = Comparison(*key, None, basis=known, units=count if count > 1 else 0, apart=apart(base, head))
        return replace(told, unchecked=unchecked(base)), []
    base_ns, head_ns = (statistics.median(m.median_ns or 0.0 for m in s.measurements) for s in (base, head))
    plain = Comparison(*key, None, None, base_ns, head_ns, head_ns / base_ns, apart=apart(base, head))
    plain = replace(plain, unchecked=unchecked(base))
    count = min(len(base.runs), len(head.runs))
    if count > 1:
        plain = replace(plain, basis=Basis.RUNS, units=count, base_spread=_spread(base), head_spread=_spread(head))
    return plain, [] if plain.apart or plain.unchecked else _pairs(base, head)


def _spread(side: Side) -> float:
    times = [m.median_ns for m in side.measurements if m.median_ns]
    return max(times) / min(times)


def _pairs(base: Side, head: Side) -> list[float]:
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


def _judged(c: Comparison, judged: Judgement) -> Comparison:
    return replace(
        c,
        verdict=judged.verdict,
        ratio=judged.ratio,
        low=judged.low if judged.low > 0 else None,
        high=judged.high if math.isfinite(judged.high) else None,
        basis=Basis.INTERLEAVED,
        units=judged.pairs,
    )
