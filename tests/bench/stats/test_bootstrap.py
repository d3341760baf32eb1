"""Block bootstrap: its blocks, and its coverage of correlated series."""

from __future__ import annotations

import numpy as np
import pytest

from attnlab.bench.stats.bootstrap import block_indices, block_length, bootstrap_interval

from . import noise


def test_blocks_are_consecutive_and_circular() -> None:
    found = block_indices(27, 27, np.random.default_rng(0))
    assert found.shape == (27,)
    for start in range(0, 27, block_length(27)):
        block = found[start : start + block_length(27)]
        assert list((block - block[0]) % 27) == [0, 1, 2]


def test_every_sample_can_be_drawn_and_no_other() -> None:
    found = block_indices(10, 5000, np.random.default_rng(1))
    assert set(found) == set(range(10))
    assert np.bincount(found).min() > 350


def test_a_mean_is_covered_as_often_as_said() -> None:
    """Of a mildly correlated series; drawn one by one it would be covered far less."""
    random = np.random.default_rng(2)
    trials = 150
    covered = 0
    for trial in range(trials):
        low, high = bootstrap_interval(
            list(noise.correlated(random, 300, 0.3)), lambda x: float(x.mean()), resamples=200, seed=trial
        )
        covered += low <= 0 <= high
    assert 0.86 * trials <= covered <= 0.99 * trials


def test_one_sample_has_no_interval() -> None:
    with pytest.raises(ValueError, match="expected two or more"):
        bootstrap_interval([1.0], np.median)  # type: ignore[arg-type]
