"""All-reduces over two ranks that fail on rank 1, each in a way of its own; ranks import this file by itself."""

from __future__ import annotations

import time
from typing import Any

import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, OfRanks
from attnlab.bench.machine.clocks import now


class OnRankOne(OfRanks):
    """Honest on rank 0, which waits for the other."""

    def run_rank(self, shard: CollectiveShard, state: Any) -> Tensor:
        if dist.get_rank() == 1:
            self.fail()
        out = shard.x.clone()
        dist.all_reduce(out)
        return out

    def fail(self) -> None:
        raise NotImplementedError


class StopsItsClock(OfRanks):
    """On rank 1 calls take no time."""

    def prepare_rank(self, case: Any, shard: CollectiveShard) -> None:
        if dist.get_rank() == 1:
            now.perf_counter_ns = lambda: 7  # type: ignore[assignment]

    def run_rank(self, shard: CollectiveShard, state: Any) -> Tensor:
        out = shard.x.clone()
        dist.all_reduce(out)
        return out


class Sleeps(OnRankOne):
    def fail(self) -> None:
        time.sleep(3600)


class OneNumberShort(OfRanks):
    def run_rank(self, shard: CollectiveShard, state: Any) -> Tensor:
        return shard.x[dist.get_rank() :]


class AnotherDtype(OfRanks):
    def run_rank(self, shard: CollectiveShard, state: Any) -> Tensor:
        return shard.x.double() if dist.get_rank() else shard.x.clone()


class NothingReturned(OfRanks):
    def run_rank(self, shard: CollectiveShard, state: Any) -> None:
        return None


class Honest(OfRanks):
    def run_rank(self, shard: CollectiveShard, state: Any) -> Tensor:
        out = shard.x.clone()
        dist.all_reduce(out)
        return out
