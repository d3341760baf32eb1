"""All-gather by torch.distributed over NCCL."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, Needs, OfRanks, implements
from attnlab.impls._collectives import UNVERIFIED, all_gather


@implements("all_gather", name="nccl", needs=Needs(device="cuda"), unverified=UNVERIFIED)
class Nccl(OfRanks):
    """torch.distributed's all-gather into one tensor, over NCCL."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        out = shard.x.new_empty(dist.get_world_size() * len(shard.x))
        all_gather(out, shard.x)
        return out
