"""The heap is moved about: the same allocation lies elsewhere after a shift."""

from __future__ import annotations

import subprocess
import sys

from attnlab.bench.machine.ballast import BLOCKS, LARGEST_BLOCK, Ballast

PLACES = """
import torch
from attnlab.bench.machine.ballast import Ballast

ballast, places = Ballast(seed=0), set()
for _ in range(20):
    ballast.shift()
    places.add(torch.empty(1 << 18).data_ptr())  # 1 MiB of scratch memory
print(len(places))
"""


def test_scratch_memory_lies_elsewhere_after_a_shift() -> None:
    """In a process of its own, as an arm is: what other tests left in this one's heap may have room enough."""
    said = subprocess.run([sys.executable, "-c", PLACES], capture_output=True, text=True, check=True).stdout
    assert int(said) > 5


def test_blocks_are_of_bounded_and_differing_sizes() -> None:
    ballast = Ballast(seed=1)
    ballast.shift()
    sizes = [block.numel() for block in ballast.blocks]  # type: ignore[attr-defined]
    assert len(sizes) == BLOCKS == len(set(sizes))
    assert max(sizes) < LARGEST_BLOCK
    ballast.shift()
    assert [block.numel() for block in ballast.blocks] != sizes  # type: ignore[attr-defined]
