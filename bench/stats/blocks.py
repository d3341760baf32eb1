"""A mean over samples that hang on their neighbours, with an interval from sums over blocks of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from attnlab.bench.stats.student import quantile


@dataclass(frozen=True)
class BlockMean:
    """A mean over all samples and the ends of its interval, NaN where there is a single block."""

    mean: float
    low: float
    high: float


def block_mean(sums: Sequence[float], sizes: Sequence[int], confidence: float = 0.95) -> BlockMean:
    """Of samples in blocks, whose sums and sizes are given, which may differ a little.

    Blocks are taken to be independent of each other: the variance of the mean is n / (n - 1) Σ (sum - size · mean)² /
    (Σ size)², and the interval is Student's with n - 1 degrees of freedom. Raises ValueError where there is no sample.
    """
    total = sum(sizes)
    if not total or len(sums) != len(sizes):
        raise ValueError(
            f"got {len(sums)} sums and {len(sizes)} sizes of {total} samples; expected a size for each sum"
        )
    mean, n = math.fsum(sums) / total, len(sums)
    if n < 2:
        return BlockMean(mean, math.nan, math.nan)
    off = math.fsum((s - size * mean) ** 2 for s, size in zip(sums, sizes, strict=True))
    reach = quantile((1 + confidence) / 2, n - 1) * math.sqrt(n / (n - 1) * off) / total
    return BlockMean(mean, mean - reach, mean + reach)
