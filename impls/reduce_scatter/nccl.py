"""Reduce-scatter by torch.distributed over NCCL."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, Needs, OfRanks, implements
from attnlab.impls._collectives import NAMES, UNVERIFIED, reduce_scatter


@implements("reduce_scatter", name="nccl", needs=Needs(device="cuda"), unverified=UNVERIFIED)
class Nccl(OfRanks):
    """torch.distributed's reduce-scatter of one tensor, over NCCL."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        out = torch.empty_like(shard.x[: len(shard.x) // dist.get_world_size()])
        reduce_scatter(out, shard.x, NAMES[shard.op])
        return out
