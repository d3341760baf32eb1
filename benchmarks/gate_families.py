"""Families of benchmarks with one slow case, decided on noise that was recorded: what is found, and in what time.

Each benchmark of a family has latency (median, mean and 95th percentile, of the same recorded pairs) and two
quantities that never differ, such as peak memory and error. Its pairs are drawn in blocks from those of one of the
recorded kernels, apart from other benchmarks. A slowdown is added to the latency of the first. Time is counted by a
model: a live pair takes `start_s`, and each benchmark in it `pair_s`.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnlab.bench import units
from attnlab.bench.gate.quantities import quantities
from attnlab.bench.stats.bootstrap import block_indices
from attnlab.bench.stats.decision import PairRatio, Subject, decide
from attnlab.bench.stats.paired import log_ratio
from attnlab.bench.stats.power import Rate
from attnlab.bench.stats.verdict import Rule, Verdict

TIMES = ("latency", "latency_mean", "latency_p95")
FIXED = ("peak_memory", "error")
SIZES = (1, 12, 40, 200, 1000)
SLOWDOWNS = (0.0, 0.05, 0.10)
JUDGEMENTS = 40_000  # comparisons in all decisions of one row, from which the number of decisions follows
BURST_NS, BURSTS = 60 * units.NS_PER_MS, 16  # as recorded
SHORT_BURST_NS, SHORT_BURSTS = 30 * units.NS_PER_MS, 8


@dataclass(frozen=True)
class Plan:
    """Bursts of each arm in a pair, and what a pair takes: for its processes, and for each benchmark."""

    bursts: int
    start_s: float
    pair_s: float


@dataclass(frozen=True)
class Row:
    """What came of one size of family and one slowdown."""

    size: int
    slowdown: float
    found: Rate
    alarms: Rate
    unseen: Rate
    seconds: float
    found_seconds: float | None
    pairs: float


def plans(recorded: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[Plan, Plan]:
    """As recorded, and with fewer and shorter bursts; the cost of a pair from when each was stored."""
    keys = list(recorded)
    stored = sorted((row["at"], keys.index(key)) for key, rows in recorded.items() for row in rows)
    took: dict[tuple[int, int], list[float]] = {}
    for (before, earlier), (after, later) in itertools.pairwise(stored):
        took.setdefault((earlier, later), []).append(after - before)
    usual = statistics.median(took[0, 1])  # of the second kernel, after the first in the same pair
    start_s = max(0.0, statistics.median(took[len(keys) - 1, 0]) - usual)
    saved_s = 2 * (BURSTS * BURST_NS - SHORT_BURSTS * SHORT_BURST_NS) / units.NS_PER_S
    return Plan(BURSTS, start_s, usual), Plan(SHORT_BURSTS, start_s, max(0.1, usual - saved_s))


def noise(rows: Sequence[Mapping[str, Any]], bursts: int) -> NDArray[np.float64]:
    """Log-ratios of one kernel's pairs, [pairs, times], centred, from its first so many bursts."""
    found = []
    for row in rows:
        base, head = (np.asarray(row[arm][:bursts]) for arm in ("base", "head"))
        samples = [np.asarray(row[f"{arm}_samples"]) for arm in ("base", "head")]
        cut = [s[: max(1, len(s) * bursts // len(row["base"]))] for s in samples]
        found.append(
            (
                log_ratio(base.tolist(), head.tolist()),
                math.log(cut[1].mean() / cut[0].mean()),
                math.log(np.quantile(cut[1], 0.95) / np.quantile(cut[0], 0.95)),
            )
        )
    x = np.asarray(found)
    return np.asarray(x - np.median(x, axis=0))


class _Family:
    """Hands out pairs, and counts the time that they would take."""

    def __init__(self, kernels: Sequence[NDArray[np.float64]], size: int, slowdown: float, plan: Plan, seed: int):
        self._kernels, self._plan = kernels, plan
        self._random = np.random.default_rng(seed)
        self._slow = math.log1p(slowdown)
        self.seconds = self.slow_seconds = 0.0
        self.pairs = 0
        self.subjects = {
            f"{benchmark}#{name}": Subject(_target(name), 0.0, f"{benchmark % 4}#{name}", str(benchmark))
            for benchmark in range(size)
            for name in (*TIMES, *FIXED)
        }

    def take(self, keys: Sequence[str], count: int) -> Mapping[str, list[PairRatio]]:
        benchmarks = dict.fromkeys(int(key.partition("#")[0]) for key in keys)
        self.pairs += count
        self.seconds += count * (self._plan.start_s + self._plan.pair_s * len(benchmarks))
        if "0#latency" in keys:
            self.slow_seconds = self.seconds
        drawn = {benchmark: self._drawn(benchmark, count) for benchmark in benchmarks}
        none = [PairRatio(0.0, 1.0)] * count
        found = {}
        for key in keys:
            benchmark, _, name = key.partition("#")
            found[key] = drawn[int(benchmark)][TIMES.index(name)] if name in TIMES else none
        return found

    def _drawn(self, benchmark: int, count: int) -> list[list[PairRatio]]:
        kernel = self._kernels[benchmark % len(self._kernels)]
        rows = kernel[block_indices(len(kernel), count, self._random)] + (self._slow if benchmark == 0 else 0.0)
        return [[PairRatio(x, 1.0) for x in column] for column in rows.T.tolist()]


def _target(name: str) -> float:
    return quantities()[name].target or 0.5


def simulate(kernels: Sequence[NDArray[np.float64]], size: int, slowdown: float, plan: Plan, decisions: int) -> Row:
    """Decide so many families; the slow one counts as found where its latency is `slower`."""
    found = alarms = unseen = 0
    seconds, found_seconds, pairs = [], [], []
    for seed in range(decisions):
        family = _Family(kernels, size, slowdown, plan, seed)
        made = decide(family.subjects, family.take, Rule())
        slow = {key.partition("#")[0] for key, d in made.verdicts.items() if d.verdict is Verdict.SLOWER}
        if slowdown and made.verdicts["0#latency"].verdict is Verdict.SLOWER:
            found += 1
            found_seconds.append(family.slow_seconds)
        alarms += bool(slow - ({"0"} if slowdown else set()))
        unseen += any(d.unseen for d in made.verdicts.values())
        seconds.append(family.seconds)
        pairs.append(family.pairs)
    rates = [Rate(count, decisions) for count in (found, alarms, unseen)]
    middle = statistics.median(found_seconds) if found_seconds else None
    return Row(size, slowdown, *rates, statistics.median(seconds), middle, statistics.fmean(pairs))


def rows(recorded: Mapping[str, Sequence[Mapping[str, Any]]], plan: Plan) -> list[Row]:
    """All sizes and slowdowns with one plan of bursts."""
    kernels = [noise(own, plan.bursts) for own in recorded.values()]
    found = []
    for size in SIZES:
        decisions = max(8, min(400, JUDGEMENTS // (size * len((*TIMES, *FIXED)))))
        found += [simulate(kernels, size, slowdown, plan, decisions) for slowdown in SLOWDOWNS]
    return found


def table(found: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells."""
    headings = [
        "benchmarks",
        "comparisons",
        "slowdown of one",
        "found (95 % interval)",
        "false alarms",
        "exit 4 without any",
        "found after",
        "gate's time",
        "live pairs",
    ]
    return headings, [
        [
            str(row.size),
            str(row.size * len((*TIMES, *FIXED))),
            units.format_share(row.slowdown) if row.slowdown else "none",
            _rate(row.found) if row.slowdown else units.MISSING,
            _rate(row.alarms),
            _rate(row.unseen),
            f"{row.found_seconds:.0f} s" if row.found_seconds is not None else units.MISSING,
            f"{row.seconds:.0f} s",
            f"{row.pairs:.0f}",
        ]
        for row in found
    ]


def _rate(rate: Rate) -> str:
    low, high = (100 * end for end in rate.interval())
    return f"{rate.count} of {rate.trials} ({low:.1f} to {high:.1f} %)"
