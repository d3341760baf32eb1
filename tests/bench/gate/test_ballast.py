"""The heap is moved about: the same allocation lies elsewhere after a shift."""

from __future__ import annotations

import torch

from attnlab.bench.gate.ballast import BLOCKS, LARGEST_BLOCK, Ballast

SCRATCH = 1 << 18  # floats, 1 MiB


def test_scratch_memory_lies_elsewhere_after_a_shift() -> None:
    ballast, places = Ballast(seed=0), set()
    for _ in range(20):
        ballast.shift()
        places.add(torch.empty(SCRATCH).data_ptr())
    assert len(places) > 5


def test_blocks_are_of_bounded_and_differing_sizes() -> None:
    ballast = Ballast(seed=1)
    ballast.shift()
    sizes = [block.numel() for block in ballast.blocks]  # type: ignore[attr-defined]
    assert len(sizes) == BLOCKS == len(set(sizes))
    assert max(sizes) < LARGEST_BLOCK
    ballast.shift()
    assert [block.numel() for block in ballast.blocks] != sizes  # type: ignore[attr-defined]
