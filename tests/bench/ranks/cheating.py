"""All-reduces whose results are right and whose times are not: each does its work where no clock of a rank runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.overrides import TorchFunctionMode

from attnlab.bench import CollectiveShard, OfRanks


def summed(x: Tensor) -> Tensor:
    out = x.clone()
    dist.all_reduce(out)
    return out


class ReadsOthersMemory(OfRanks):
    """Nothing is sent: the rows of all ranks are read where this rank's lies."""

    def run_rank(self, shard: CollectiveShard, state: Any) -> Tensor:
        size, count = dist.get_world_size(), shard.x.numel()
        whole = torch.empty(0, dtype=shard.x.dtype).set_(shard.x.untyped_storage(), 0, (size, count), (count, 1))
        return whole.sum(0)


class LateList(list[Tensor]):
    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x

    def __iter__(self) -> Iterator[Tensor]:
        return iter([summed(self.x)])


class SummedWhenIterated(OfRanks):
    def run_rank(self, shard: CollectiveShard, state: Any) -> LateList:
        return LateList(shard.x)


class LateTensor(Tensor):
    x: Tensor

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*(summed(one.x) if isinstance(one, LateTensor) else one for one in args), **(kwargs or {}))


class SummedWhenCopied(OfRanks):
    def run_rank(self, shard: CollectiveShard, state: Any) -> Tensor:
        out = torch.empty_like(shard.x).as_subclass(LateTensor)
        out.x = shard.x
        return out


class Waits(TorchFunctionMode):
    """Waits for what was begun when a tensor is copied."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: Any = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        begun, self.begun = self.begun, None
        if begun is not None:
            begun.wait()
        return func(*args, **(kwargs or {}))


class WaitedForInMode(OfRanks):
    def prepare_rank(self, case: Any, shard: CollectiveShard) -> Waits:
        mode = Waits()
        mode.__enter__()
        return mode

    def run_rank(self, shard: CollectiveShard, state: Waits) -> Tensor:
        with torch._C.DisableTorchFunction():
            out = shard.x.clone()
            state.begun = dist.all_reduce(out, async_op=True)
            return out


class WaitedForInProfile(OfRanks):
    """Python calls it back once the clock was read, and it waits for the sum then."""

    def run_rank(self, shard: CollectiveShard, state: Any) -> Tensor:
        out = shard.x.clone()
        work = dist.all_reduce(out, async_op=True)

        def wait(frame: object, event: str, function: object) -> None:
            if event == "c_return" and getattr(function, "__name__", "") == "perf_counter_ns":
                sys.setprofile(None)
                work.wait()

        sys.setprofile(wait)
        return out
