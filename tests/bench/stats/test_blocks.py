"""Means over blocks: worked out by hand, and intervals that hold the truth where neighbours are alike."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attnlab.bench.stats.blocks import block_mean


def test_by_hand() -> None:
    found = block_mean([2.0, 4.0, 6.0], [2, 2, 2])
    assert found.mean == 2.0
    reach = 4.302652729911275 * math.sqrt(3 / 2 * (4 + 0 + 4)) / 6  # Student's 97.5 % with two degrees of freedom
    assert (found.low, found.high) == pytest.approx((2.0 - reach, 2.0 + reach))


def test_a_single_block_has_no_interval() -> None:
    found = block_mean([3.0], [2])
    assert found.mean == 1.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_blocks_of_unlike_sizes_that_are_all_alike_leave_no_doubt() -> None:
    found = block_mean([3.0, 6.0, 9.0], [1, 2, 3])
    assert (found.low, found.mean, found.high) == (3.0, 3.0, 3.0)


@pytest.mark.parametrize(("sums", "sizes"), [([], []), ([1.0], [1, 2]), ([0.0], [0])])
def test_no_samples(sums: list[float], sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="expected a size for each sum"):
        block_mean(sums, sizes)


def test_intervals_hold_the_truth_where_neighbours_hang_together() -> None:
    """Of samples that go on by 0.8 of the one before, blocks of 64 hold the mean as often as they say, ones do not."""
    random = np.random.default_rng(3)
    held = {1: 0, 64: 0}
    for _ in range(200):
        x = np.zeros(1024)
        noise = random.standard_normal(1024)
        for n in range(1, 1024):
            x[n] = 0.8 * x[n - 1] + noise[n]
        for size in held:
            blocks = x.reshape(-1, size)
            found = block_mean(blocks.sum(1).tolist(), [size] * len(blocks))
            held[size] += found.low <= 0.0 <= found.high
    assert held[64] >= 178
    assert held[1] <= 140
