"""Resampling in blocks, which keeps what neighbouring samples share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def block_length(size: int) -> int:
    """The cube root of the number of samples: the order that makes a block bootstrap's error least."""
    return max(1, round(math.cbrt(size)))


def block_indices(size: int, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """`count` indices into `size` samples, in circular blocks of consecutive ones (Politis and Romano 1992)."""
    length = block_length(size)
    starts = random.integers(0, size, size=-(-count // length))
    spread = (starts[:, None] + np.arange(length)[None, :]) % size
    return spread.reshape(-1)[:count]
