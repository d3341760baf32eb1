"""All-gather through rank 0: the baseline."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, OfRanks, implements
from attnlab.impls._collectives import given_to


@implements("all_gather", name="naive")
class Naive(OfRanks):
    """Each rank sends what it gives to rank 0, one after another, and gets the whole back."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        others = range(1, dist.get_world_size())
        out = shard.x.new_empty(dist.get_world_size() * len(shard.x))
        if dist.get_rank():
            dist.send(shard.x, 0)
            dist.recv(out, 0)
            return out
        given_to(0, out).copy_(shard.x)
        for rank in others:
            dist.recv(given_to(rank, out), rank)
        for rank in others:
            dist.send(out, rank)
        return out
