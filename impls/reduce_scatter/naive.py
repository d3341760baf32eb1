"""Reduce-scatter through rank 0: the baseline."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, OfRanks, implements
from attnlab.impls._collectives import finished, given_to, take_into


@implements("reduce_scatter", name="naive")
class Naive(OfRanks):
    """Each rank sends all it has to rank 0, one after another, and gets its block of the result."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        if dist.get_rank():
            dist.send(shard.x, 0)
            out = torch.empty_like(given_to(0, shard.x))
            dist.recv(out, 0)
            return out
        total, other = shard.x.clone(), torch.empty_like(shard.x)
        for rank in range(1, dist.get_world_size()):
            dist.recv(other, rank)
            take_into(total, other, shard.op)
        finished(total, shard.op)
        for rank in range(1, dist.get_world_size()):
            dist.send(given_to(rank, total), rank)
        return given_to(0, total)
