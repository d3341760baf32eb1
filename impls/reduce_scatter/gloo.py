"""Reduce-scatter by torch.distributed over gloo."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, Needs, OfRanks, implements
from attnlab.impls._collectives import finished, of_sums, reduce_scatter


@implements("reduce_scatter", name="gloo", needs=Needs(device="cpu"))
class Gloo(OfRanks):
    """torch.distributed's reduce-scatter of one tensor, over gloo."""

    def run_rank(self, shard: CollectiveShard, state: None) -> Tensor:
        out = torch.empty_like(shard.x[: len(shard.x) // dist.get_world_size()])
        reduce_scatter(out, shard.x, of_sums(shard.op))
        return finished(out, shard.op)
