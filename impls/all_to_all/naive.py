"""All-to-all by one pair of ranks after another: the baseline."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, OfRanks, implements
from attnlab.impls._collectives import given_to


@implements("all_to_all", name="naive")
class Naive(OfRanks):
    """Each pair of ranks exchanges its blocks, one pair after another: the lower rank sends first."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        own, out = dist.get_rank(), torch.empty_like(shard.x)
        given_to(own, out).copy_(given_to(own, shard.x))
        for other in range(dist.get_world_size()):
            if own < other:
                dist.send(given_to(other, shard.x), other)
                dist.recv(given_to(other, out), other)
            elif own > other:
                dist.recv(given_to(other, out), other)
                dist.send(given_to(other, shard.x), other)
        return out
