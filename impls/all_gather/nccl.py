"""All-gather by torch.distributed over NCCL."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, Needs, OfRanks, implements
from attnlab.impls._collectives import UNVERIFIED


@implements("all_gather", name="nccl", needs=Needs(device="cuda"), unverified=UNVERIFIED)
class Nccl(OfRanks):
    """torch.distributed.all_gather_into_tensor over NCCL."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        out = shard.x.new_empty(dist.get_world_size() * len(shard.x))
        dist.all_gather_into_tensor(out, shard.x)
        return out
