"""How often the 95 % interval of a median holds the truth, where it is sampling that decides when to stop.

    python benchmarks/interval_coverage.py [--series 300] [--out results/interval_coverage]

Series of made-up times are sampled burst by burst under two rules. *Before*: from 10 samples on, sampling ends at the
first burst after which half the interval is under the target, for the number of effective samples as estimated.
*After*: the harness's own rule and interval (`bench/measuring/stopping.py`, `bench/stats/summary.py`). Both end at the
limit of samples. Where the level of a series moves there is no median to cover, and an interval that is claimed is
wrong.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnlab.bench import units
from attnlab.bench.measuring.stopping import Effort, KnownWellEnough
from attnlab.bench.stats.summary import effective_samples, order_interval, summarise

Floats = NDArray[np.float64]
TRUTH_NS = 1e6
FEW = 10  # samples from which the rule before looked at the interval
LEAST_BEFORE = 6  # effective samples
LIMIT = 6000


@dataclass(frozen=True)
class Kind:
    """A kind of series: its noise about zero in standard deviations, how strong that is, calls a burst, and the target.

    moves: the level moves, so that no interval is right.
    """

    name: str
    noise: Callable[[np.random.Generator, int], Floats]
    spread: float
    burst: int
    target: float = 0.01
    moves: bool = False

    def series(self, random: np.random.Generator) -> Floats:
        made: Floats = TRUTH_NS * np.exp(self.spread * self.noise(random, LIMIT))
        return made


def autoregressive(rho: float) -> Callable[[np.random.Generator, int], Floats]:
    def noise(random: np.random.Generator, size: int) -> Floats:
        steps = random.standard_normal(size) * math.sqrt(1 - rho * rho)
        out, level = np.empty(size), random.standard_normal()
        for n in range(size):
            level = rho * level + steps[n]
            out[n] = level
        return out

    return noise


def two_modes(random: np.random.Generator, size: int) -> Floats:
    """A slow mode in 35 % of the calls, each for itself; the median lies within the fast one."""
    slow = random.random(size) < 0.35
    noise = random.standard_normal(size)
    middle = 0.736  # of the fast mode's calls 76.9 % lie below the median of all: the normal's quantile there
    return np.where(slow, 20 + noise, noise - middle)


def switching(random: np.random.Generator, size: int) -> Floats:
    """A fast mode held for 60 calls on average and a slow one held for 30; the median lies within the fast one."""
    stays = [random.geometric(1 / mean) for mean in (60, 30) * (size // 40)]
    first = random.integers(90)  # somewhere within the first two stays
    slow = np.repeat(np.arange(len(stays)) % 2 == 1, stays)[first : first + size]
    middle = 0.674  # of the fast mode's calls 75 % lie below the median of all
    return np.where(slow, 20.0, -middle) + random.standard_normal(size)


def drifting(random: np.random.Generator, size: int) -> Floats:
    """Over 500 calls by four standard deviations, and on."""
    return np.arange(size) / 125 + random.standard_normal(size)


def shifting(random: np.random.Generator, size: int) -> Floats:
    """A processor that clocks up after 100 calls."""
    return np.where(np.arange(size) < 100, 10.0, 0.0) + random.standard_normal(size)


def heavy(random: np.random.Generator, size: int) -> Floats:
    return random.standard_t(2, size)


KINDS = (
    Kind("independent", autoregressive(0.0), 0.03, 30),
    Kind("independent, one call a burst", autoregressive(0.0), 0.05, 1),
    Kind("independent, heavy tails", heavy, 0.03, 30),
    Kind("two modes, independent", two_modes, 0.02, 30),
    Kind("autocorrelation 0.5", autoregressive(0.5), 0.03, 30),
    Kind("autocorrelation 0.9, three calls a burst", autoregressive(0.9), 0.03, 3, 0.02),
    Kind("autocorrelation 0.9", autoregressive(0.9), 0.03, 30, 0.02),
    Kind("autocorrelation 0.97, three calls a burst", autoregressive(0.97), 0.03, 3, 0.02),
    Kind("autocorrelation 0.97", autoregressive(0.97), 0.02, 30, 0.02),
    Kind("autocorrelation 0.97, 256 calls a burst", autoregressive(0.97), 0.03, 256),
    Kind("two modes, held for 60 and 30 calls", switching, 0.02, 30),
    Kind("slow drift", drifting, 0.02, 30, moves=True),
    Kind("level shifts after 100 calls, to the truth", shifting, 0.02, 30),
)


@dataclass(frozen=True)
class Stop:
    """Where sampling ended, and the interval there; None where none was claimed."""

    samples: int
    interval: tuple[float, float] | None


def before(series: Floats, kind: Kind) -> Stop:
    for taken in range(kind.burst, LIMIT + 1, kind.burst):
        x = series[:taken]
        effective = effective_samples(x, errors=0)
        if taken < FEW or effective < LEAST_BEFORE:
            continue
        low, high = order_interval(np.sort(x), effective, 0.95)
        if (high - low) / 2 <= kind.target * float(np.median(x)) or taken + kind.burst > LIMIT:
            return Stop(taken, (low, high))
    return Stop(LIMIT, None)


def after(series: Floats, kind: Kind) -> Stop:
    rule = KnownWellEnough(Effort(kind.target, sampling_limit_s=math.inf, max_samples=LIMIT))
    values = series.tolist()
    spent_ns = np.cumsum(series)
    for number, taken in enumerate(range(kind.burst, LIMIT + kind.burst, kind.burst), start=1):
        taken = min(taken, LIMIT)
        if rule.reason(values[:taken], number, float(spent_ns[taken - 1])) is not None:
            found = summarise(values[:taken])
            return Stop(taken, None if found.unclaimed else (found.low, found.high))
    raise AssertionError("the rule went past the limit of samples")


@dataclass(frozen=True)
class Coverage:
    """Of one kind of series under one rule: share that claims an interval, share of these that holds the truth."""

    claimed: float
    covered: float | None
    samples: float

    def words(self, moves: bool) -> str:
        share = "—" if self.covered is None or moves else units.format_share(self.covered)
        return f"{share} | {units.format_share(self.claimed)} | {self.samples:.0f}"


def coverage(kind: Kind, rule: Callable[[Floats, Kind], Stop], series: int) -> Coverage:
    random = np.random.default_rng(20261128)
    stops = [rule(kind.series(random), kind) for _ in range(series)]
    intervals = [stop.interval for stop in stops if stop.interval is not None]
    holds = [low <= TRUTH_NS <= high for low, high in intervals]
    return Coverage(
        len(intervals) / series,
        sum(holds) / len(holds) if holds else None,
        float(np.median([stop.samples for stop in stops])),
    )


def report(series: int) -> Iterator[str]:
    yield "# Coverage of the median's 95 % interval, the stopping rule included"
    yield ""
    yield f"{series} series of each kind, of up to {LIMIT} calls of 1 ms, by `benchmarks/interval_coverage.py`."
    yield f"A share of 95 % is known to ± {196 * math.sqrt(0.95 * 0.05 / series):.1f} %. Where a level drifts there is"
    yield "no median to cover, and each interval that is claimed is one too many."
    yield ""
    yield "| series | covered before | claimed | samples | covered after | claimed | samples |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for kind in KINDS:
        then, now = (coverage(kind, rule, series).words(kind.moves) for rule in (before, after))
        yield f"| {kind.name} | {then} | {now} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("results/interval_coverage"))
    options = parser.parse_args()
    lines = []
    for line in report(options.series):
        print(line, flush=True)
        lines.append(line)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "summary.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
