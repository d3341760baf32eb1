"""Reduce-scatter through rank 0: the baseline."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, OfRanks, implements
from attnlab.impls._collectives import from_first, given_to, reduced_on_first


@implements("reduce_scatter", name="naive")
class Naive(OfRanks):
    """Each rank sends all it has to rank 0, one after another, and gets its block of the result."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        total = reduced_on_first(shard.x, shard.op)
        if total is None:
            return from_first(given_to(0, shard.x))
        for rank in range(1, dist.get_world_size()):
            dist.send(given_to(rank, total), rank)
        return given_to(0, total)
