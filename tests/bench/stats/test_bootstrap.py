"""Block bootstrap: its blocks, and its coverage of correlated series."""

from __future__ import annotations

import numpy as np

from attnlab.bench.stats.bootstrap import block_indices, block_length


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
