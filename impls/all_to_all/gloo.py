"""All-to-all by torch.distributed over gloo."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, Needs, OfRanks, implements


@implements("all_to_all", name="gloo", needs=Needs(device="cpu"))
class Gloo(OfRanks):
    """torch.distributed.all_to_all_single over gloo."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        out = torch.empty_like(shard.x)
        dist.all_to_all_single(out, shard.x)
        return out
