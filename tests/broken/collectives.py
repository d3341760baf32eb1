"""Broken collectives: a rank's shard is lost, counted twice or in another's place, or only some ranks are right.

Ranks import this file by itself, so that it leans on none beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from attnlab.bench import CollectiveShard, OfRanks


class Collective(OfRanks):
    """Honest: everything of all ranks is gathered, and each rank takes its own of it."""

    def run_rank(self, shard: CollectiveShard, state: Any) -> Tensor:
        return self.of_all(self.gathered(self.given(shard.x)), shard.op)

    def given(self, x: Tensor) -> Tensor:
        return x

    def gathered(self, x: Tensor) -> Tensor:
        """[p, n], a row of each rank."""
        rows = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(rows, x)
        return torch.stack(rows)

    def of_all(self, rows: Tensor, op: str) -> Tensor:
        raise NotImplementedError

    def own(self, x: Tensor) -> Tensor:
        return x.unflatten(0, (dist.get_world_size(), -1))[dist.get_rank()]


class AllReduce(Collective):
    def of_all(self, rows: Tensor, op: str) -> Tensor:
        return reduced(rows, op)


class ReduceScatter(Collective):
    def of_all(self, rows: Tensor, op: str) -> Tensor:
        return self.own(reduced(rows, op)).clone()


class AllGather(Collective):
    def of_all(self, rows: Tensor, op: str) -> Tensor:
        return rows.flatten()


class AllToAll(Collective):
    def of_all(self, rows: Tensor, op: str) -> Tensor:
        return rows.unflatten(1, (dist.get_world_size(), -1))[:, dist.get_rank()].flatten()


def reduced(rows: Tensor, op: str) -> Tensor:
    """[n] of [p, n], in float32."""
    wide = rows.float()
    return {"sum": wide.sum, "avg": wide.mean, "max": wide.amax}[op](0).to(rows.dtype)


HONEST: dict[str, type[OfRanks]] = {
    "all_reduce": AllReduce,
    "reduce_scatter": ReduceScatter,
    "all_gather": AllGather,
    "all_to_all": AllToAll,
}


class LastShardDropped(Collective):
    def gathered(self, x: Tensor) -> Tensor:
        rows = super().gathered(x)
        rows[-1] = 0
        return rows


class AShardTwice(Collective):
    def gathered(self, x: Tensor) -> Tensor:
        rows = super().gathered(x)
        rows[-1] = rows[0]
        return rows


class WrongOrder(Collective):
    def gathered(self, x: Tensor) -> Tensor:
        return super().gathered(x).flip(0)


class LastNumberDropped(Collective):
    def gathered(self, x: Tensor) -> Tensor:
        rows = super().gathered(x)
        rows[:, -1] = 0
        return rows


class StaleBuffer(Collective):
    """What the call before returned, of the call before."""

    def prepare_rank(self, case: Any, shard: CollectiveShard) -> list[Tensor]:
        return [super().run_rank(shard, None)]

    def run_rank(self, shard: CollectiveShard, state: list[Tensor]) -> Tensor:
        state.append(super().run_rank(shard, None))
        return state.pop(0)


class KeptFromPrepare(Collective):
    """What was gathered once, before any call."""

    def prepare_rank(self, case: Any, shard: CollectiveShard) -> Tensor:
        return super().run_rank(shard, None)

    def run_rank(self, shard: CollectiveShard, state: Tensor) -> Tensor:
        return state


class RightOnRankZero(Collective):
    """The others work with what they have themselves."""

    def gathered(self, x: Tensor) -> Tensor:
        rows = super().gathered(x)
        return rows if dist.get_rank() == 0 else x.expand_as(rows)


class HalfPrecision(Collective):
    """Rounded to bfloat16 on the way."""

    def given(self, x: Tensor) -> Tensor:
        return x.bfloat16().to(x.dtype)


class AverageForgotten(Collective):
    def of_all(self, rows: Tensor, op: str) -> Tensor:
        return super().of_all(rows, "sum" if op == "avg" else op)


class NothingReceived(Collective):
    """Memory that was never written to."""

    def gathered(self, x: Tensor) -> Tensor:
        return x.new_empty(dist.get_world_size(), len(x))


class InputChanged(Collective):
    """The rank's input has the result too."""

    def run_rank(self, shard: CollectiveShard, state: Any) -> Tensor:
        out = super().run_rank(shard, state)
        shard.x[: len(out)] = out[: len(shard.x)]
        return out


def always(case: Any) -> bool:
    return True


DEFECTS: dict[type[Collective], Callable[[Any], bool]] = {
    LastShardDropped: always,
    AShardTwice: always,
    WrongOrder: lambda case: not hasattr(case, "op"),
    LastNumberDropped: always,
    StaleBuffer: always,
    KeptFromPrepare: always,
    RightOnRankZero: always,
    HalfPrecision: lambda case: case.dtype == "float32",
    AverageForgotten: lambda case: getattr(case, "op", None) == "avg",
    NothingReceived: always,
    InputChanged: always,
}
"""And the cases on which each differs."""


def broken(defect: type[Collective], operator: str) -> type[OfRanks]:
    """An operator with that defect, where ranks find it too."""
    return BROKEN[defect.__name__ + HONEST[operator].__name__]


def _made() -> dict[str, type[OfRanks]]:
    found = {}
    for honest in HONEST.values():
        for defect in DEFECTS:
            name = defect.__name__ + honest.__name__
            found[name] = type(name, (defect, honest), {"__module__": __name__})
    return found


BROKEN = _made()
globals().update(BROKEN)
