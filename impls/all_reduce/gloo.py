"""All-reduce by torch.distributed over gloo."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, Needs, OfRanks, implements
from attnlab.impls._collectives import finished, of_sums


@implements("all_reduce", name="gloo", needs=Needs(device="cpu"))
class Gloo(OfRanks):
    """torch.distributed.all_reduce over gloo, on a copy of what the rank gives."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        out = shard.x.clone()
        dist.all_reduce(out, of_sums(shard.op))
        return finished(out, shard.op)
