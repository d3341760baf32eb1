"""How often two modes are told of times that have one, and of times that have two.

    python benchmarks/two_modes.py [--series 1000] [--out results/two_modes]

Series of made-up times, with a seed: of one mode, of every shape that noise was seen to have, and mixes of which 60 %
are at 1.0 and 40 % at 1.1 to 1.4, that change from sample to sample or stay for a while. Judged by
`bench/stats/modes.py`, as a run and a gate judge.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnlab.bench.stats.modes import LEAST_APART, LEAST_SHARE, two_modes

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]
SIZES = (30, 60, 200, 1000)
SHARE = 0.6  # of a mix, in the lower mode


def wandering(kept: float) -> Draw:
    """First-order autoregression."""

    def draw(random: np.random.Generator, size: int) -> Floats:
        steps = random.standard_normal(size) * math.sqrt(1 - kept * kept)
        out, level = np.empty(size), random.standard_normal()
        for n in range(size):
            level = kept * level + steps[n]
            out[n] = level
        return np.exp(0.1 * out)

    return draw


ONE_MODE: dict[str, Draw] = {
    "normal": lambda r, n: np.exp(0.05 * r.standard_normal(n)),
    "uniform": lambda r, n: 1 + 0.3 * r.random(n),
    "lognormal, skew": lambda r, n: np.exp(0.3 * r.standard_normal(n)),
    "exponential, skew": lambda r, n: 1 + 0.2 * r.exponential(size=n),
    "Student's t of 3": lambda r, n: np.exp(0.03 * r.standard_t(3, n)),
    "Cauchy": lambda r, n: np.exp(np.clip(0.02 * r.standard_cauchy(n), -1, 5)),
    "one in 20 takes 20 times as long": lambda r, n: (
        np.exp(0.02 * r.standard_normal(n)) * np.where(r.random(n) < 0.05, 20, 1)
    ),
    "steps of a clock": lambda r, n: np.round(6 + 0.8 * r.standard_normal(n)).clip(1),
    "correlated, 0.5": wandering(0.5),
    "correlated, 0.9": wandering(0.9),
    "correlated, 0.99": wandering(0.99),
    "a level for each burst of 16": lambda r, n: np.exp(
        0.1 * np.repeat(r.standard_normal(n // 16 + 1), 16)[:n] + 0.01 * r.standard_normal(n)
    ),
    "random walk": lambda r, n: np.exp(0.5 * np.cumsum(r.standard_normal(n)) / math.sqrt(n)),
    "ramp": lambda r, n: np.exp(np.linspace(0, 0.3, n) + 0.02 * r.standard_normal(n)),
}


def mix(random: np.random.Generator, size: int, apart: float, noise: float, stays: int) -> Floats:
    """A mode is kept for `stays` samples."""
    modes = np.repeat(random.random(size // stays + 1) >= SHARE, stays)[:size]
    return np.where(modes, apart, 1.0) * np.exp(noise * random.standard_normal(size))


def told(draw: Draw, size: int, series: int) -> int:
    random = np.random.default_rng(size)
    return sum(two_modes(list(draw(random, size))) is not None for _ in range(series))


def alarms(series: int) -> Iterator[str]:
    yield f"| one mode | {' | '.join(f'{n} samples' for n in SIZES)} |"
    yield f"|---|{'---|' * len(SIZES)}"
    for name, draw in ONE_MODE.items():
        cells = [f"{told(draw, n, series)} of {series}" for n in SIZES]
        yield f"| {name} | {' | '.join(cells)} |"


def finds(series: int) -> Iterator[str]:
    yield f"| 60 % at 1.0, 40 % at | noise | stays for | {' | '.join(f'{n} samples' for n in SIZES)} |"
    yield f"|---|---|---|{'---|' * len(SIZES)}"
    for apart in (1.1, 1.2, 1.4):
        for noise in (0.01, 0.03):
            for stays in (1, 16):
                cells = [
                    f"{told(lambda r, n, a=apart, s=noise, k=stays: mix(r, n, a, s, k), n, series) / series:.0%}"  # type: ignore[misc]
                    for n in SIZES
                ]
                yield f"| {apart} | {noise:.0%} | {stays} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="How often two modes are told.")
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("results/two_modes"))
    options = parser.parse_args()
    lines = [
        "# Two modes told from noise",
        "",
        f"Of each kind {options.series} series. Told are modes {LEAST_APART:.0%} apart or more, with {LEAST_SHARE:.0%} "
        "of the samples in either mode.",
        "",
        "## False alarms",
        "",
        *alarms(options.series),
        "",
        "## What is found",
        "",
        *finds(max(1, options.series // 10)),
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "summary.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
