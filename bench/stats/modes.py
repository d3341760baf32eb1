"""Two modes told from noise: whether samples gather about two values, with none between them.

Noise of one mode may be skew, have heavy tails and wander; it makes no valley. The test is of the valley: by how much
two intervals cover samples better than one does, each paying for its length (the excess mass of Müller and Sawitzki
1991). Half of that is Hartigan and Hartigan's dip (1985), which chance makes largest of uniform samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attnlab.bench.stats.summary import effective_samples

# The dip times the root of the number of samples: 1 in 1,000 of uniform samples reaches more, of 8 to 512 of them.
CRITICAL = 0.66
LEAST_APART = 0.05  # between the modes, as a share of the lower: what is nearer moves nobody's conclusion
LEAST_SHARE = 0.10  # of the samples, in the rarer mode: below are outliers
FEWEST = 12  # samples: of fewer no dip can be told from chance
MOST = 2000  # quantiles that stand for more samples than that
PRICES = np.geomspace(0.1, 20, 32)  # of length, in units of the span of the middle four fifths


@dataclass(frozen=True)
class Modes:
    """low, high: medians of both groups, in the samples' unit. share: of the samples, in the lower one."""

    low: float
    high: float
    share: float

    @property
    def apart(self) -> float:
        """High over low."""
        return self.high / self.low


def two_modes(values: Sequence[float]) -> Modes | None:
    """The two modes of positive samples in the order in which they were taken; None where one explains them.

    A false alarm has a chance of at most 1 in 1,000 (see `benchmarks/two_modes.py`). Samples count for as many as are
    independent, so that a level that wanders is one mode.
    """
    taken = np.asarray(values, dtype=np.float64)
    if taken.size < FEWEST or taken.min() <= 0:
        return None
    x = np.log(_without_steps(np.sort(taken)))
    if x.size > MOST:
        x = np.quantile(x, (np.arange(MOST) + 0.5) / MOST)
    found = _split(x)
    if found is None or dip(x) * math.sqrt(effective_samples(taken)) <= CRITICAL:
        return None
    return found


def dip(ordered: NDArray[np.float64]) -> float:
    """How far ascending samples are from having one mode, from 0 to 0.25: half of what a second interval covers more.

    It is sought at a number of prices of length, so that it may come out a little too small.
    """
    n = ordered.size
    low, high = np.quantile(ordered, [0.1, 0.9])
    if not high > low:
        return 0.0
    z = (ordered - ordered[0]) / (high - low)
    rank = np.arange(1, n + 1) / n
    ends, starts = rank - PRICES[:, None] * z, rank - 1 / n - PRICES[:, None] * z  # [prices, n]
    before = np.maximum.accumulate(ends - np.minimum.accumulate(starts, 1), 1)  # the best interval up to a sample
    after = np.maximum.accumulate(ends[:, ::-1], 1)[:, ::-1] - starts
    after = np.maximum.accumulate(after[:, ::-1], 1)[:, ::-1]  # the best interval from a sample on
    return max(0.0, float(((before[:, :-1] + after[:, 1:]).max(1) - before[:, -1]).max())) / 2


def _split(x: NDArray[np.float64]) -> Modes | None:
    """Where two groups are nearest to their own medians; None where they are too near or one is too small."""
    n = x.size
    sums = np.concatenate([[0.0], np.cumsum(x)])
    cuts = np.arange(math.ceil(LEAST_SHARE * n), math.floor((1 - LEAST_SHARE) * n) + 1)

    def distances(start: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.float64]:
        """Sum of distances from the median between two ranks."""
        lower, upper = start + (end - start) // 2, end - (end - start) // 2
        out: NDArray[np.float64] = (sums[end] - sums[upper]) - (sums[lower] - sums[start])
        return out

    cut = int(cuts[np.argmin(distances(np.zeros_like(cuts), cuts) + distances(cuts, np.full_like(cuts, n)))])
    low, high = (float(np.exp(np.median(part))) for part in (x[:cut], x[cut:]))
    return Modes(low, high, cut / n) if high >= (1 + LEAST_APART) * low else None


def _without_steps(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equal samples spread evenly over the least step between unequal ones: what a clock read in steps rounded off."""
    values, counts = np.unique(ordered, return_counts=True)
    if values.size < 2 or counts.max() == 1:
        return ordered
    place = np.concatenate([(np.arange(count) + 0.5) / count - 0.5 for count in counts])
    spread: NDArray[np.float64] = np.maximum(ordered + float(np.diff(values).min()) * place, values[0] / 2)
    return spread
