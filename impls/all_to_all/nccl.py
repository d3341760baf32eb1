"""All-to-all by torch.distributed over NCCL."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, Needs, OfRanks, implements
from attnlab.impls._collectives import UNVERIFIED


@implements("all_to_all", name="nccl", needs=Needs(device="cuda"), unverified=UNVERIFIED)
class Nccl(OfRanks):
    """torch.distributed.all_to_all_single over NCCL."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        out = torch.empty_like(shard.x)
        dist.all_to_all_single(out, shard.x)
        return out
