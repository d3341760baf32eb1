"""All-reduces over two ranks that fail on rank 1, each in a way of its own; ranks import this file by itself."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, OfRanks


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


class IsKilled(OnRankOne):
    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


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
