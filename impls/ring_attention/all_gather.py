"""Sequence-parallel attention without a ring: every rank gathers all keys and values, then attends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from attnlab.bench import OfRanks, RingAttentionCase, RingShard, implements
from attnlab.impls.ring_attention._blocks import Merged
from attnlab.impls.ring_attention._parts import Parts, parts_of
from attnlab.impls.ring_attention._work import attend_to


@dataclass(frozen=True)
class Gathered:
    """own [2, B, Hkv, S / p, D], what this rank sends; all [p, 2, B, Hkv, S / p, D]."""

    own: Tensor
    all: Tensor

    def gather(self) -> None:
        dist.all_gather(list(self.all), self.own)


@implements("ring_attention", name="all_gather")
class AllGather(OfRanks):
    """All keys and values are gathered first; the rank then attends to those of each rank in turn."""

    def prepare_rank(self, case: RingAttentionCase, shard: RingShard) -> Gathered:
        own = shard.k.new_empty((2, *shard.k.shape))
        return Gathered(own, own.new_empty((shard.world_size, *own.shape)))

    def run_rank(self, shard: RingShard, state: Gathered) -> Tensor:
        torch.stack((shard.k, shard.v), out=state.own)
        state.gather()
        merged = Merged.empty(shard.q)
        for owner, keys in enumerate(state.all):
            attend_to(shard, merged, (keys[0], keys[1]), owner)
        return merged.out.to(shard.q.dtype)

    def alone_rank(self, shard: RingShard, state: Gathered) -> Parts:
        keys = [(owner, (keys[0], keys[1])) for owner, keys in enumerate(state.all)]
        return parts_of(shard, state.gather, keys)
