"""Broken tensor-parallel MLPs: sums over ranks that are forgotten, made twice, or of something else.

Ranks import this file by itself, so that it leans on none beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from attnlab.bench.ops.tensor_parallel_linear.case import TensorParallelShard
from attnlab.impls.tensor_parallel_linear._mlp import RankMlp, RankWeights
from attnlab.impls.tensor_parallel_linear._sums import Summed, all_reduced, copied, summed


class Sums(RankMlp):
    total = staticmethod(all_reduced)


def always(case: Any) -> bool:
    return True


def back(case: Any) -> bool:
    return bool(case.goes_back)


class AllReduceForgotten(Sums):
    def forward(self, x: Tensor, shard: TensorParallelShard, weights: RankWeights) -> Tensor:
        out = self.part(copied(x, self.total), shard, weights)
        return out if shard.down_bias is None else out + shard.down_bias


class BiasOnEveryRank(Sums):
    def forward(self, x: Tensor, shard: TensorParallelShard, weights: RankWeights) -> Tensor:
        part = self.part(copied(x, self.total), shard, weights)
        assert shard.down_bias is not None
        out: Tensor = summed(part + shard.down_bias, self.total)
        return out


class BiasForgotten(Sums):
    def forward(self, x: Tensor, shard: TensorParallelShard, weights: RankWeights) -> Tensor:
        out: Tensor = summed(self.part(copied(x, self.total), shard, weights), self.total)
        return out


class GradientNotSummed(Sums):
    """The input is taken for the rank's own: its gradient is that of the rank's columns."""

    def forward(self, x: Tensor, shard: TensorParallelShard, weights: RankWeights) -> Tensor:
        out: Tensor = summed(self.part(x, shard, weights), self.total)
        return out if shard.down_bias is None else out + shard.down_bias


class AlsoBack(Summed):
    """A sum whose gradient is summed too, as if ranks had outputs of their own."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return all_reduced(grad.clone()), None


class GradientSummedTwice(Sums):
    def forward(self, x: Tensor, shard: TensorParallelShard, weights: RankWeights) -> Tensor:
        out: Tensor = AlsoBack.apply(self.part(copied(x, self.total), shard, weights), self.total)
        return out if shard.down_bias is None else out + shard.down_bias


class OwnPartTwice(Sums):
    """What is taken in goes where nobody looks."""

    @staticmethod
    def total(x: Tensor) -> Tensor:
        dist.all_reduce(x.clone())
        return x * dist.get_world_size()


class SummedTwice(Sums):
    @staticmethod
    def total(x: Tensor) -> Tensor:
        return all_reduced(all_reduced(x))


class LastRankDropped(Sums):
    @staticmethod
    def total(x: Tensor) -> Tensor:
        return all_reduced(x if dist.get_rank() < dist.get_world_size() - 1 else torch.zeros_like(x))


class RowsInWrongOrder(Sums):
    """A reduce-scatter whose rows are gathered from the last rank on."""

    @staticmethod
    def total(x: Tensor) -> Tensor:
        rows = list(x.chunk(dist.get_world_size()))
        own = torch.empty_like(rows[0])
        dist.reduce_scatter(own, rows)
        dist.all_gather(rows[::-1], own)
        return x


class StaleSum(Sums):
    """The sum of the first call, in every call."""

    def prepare_rank(self, case: Any, shard: TensorParallelShard) -> RankWeights:
        self.first: Tensor | None = None
        return super().prepare_rank(case, shard)

    def forward(self, x: Tensor, shard: TensorParallelShard, weights: RankWeights) -> Tensor:
        out = super().forward(x, shard, weights)
        if self.first is None:
            self.first = out.detach().clone()
        return out + (self.first - out.detach())


class GateAndUpSwapped(Sums):
    """The columns of the first layers taken in another order than they are stored."""

    def prepare_rank(self, case: Any, shard: TensorParallelShard) -> RankWeights:
        right = super().prepare_rank(case, shard)
        half = len(right.up) // 2
        return RankWeights(
            right.up.roll(half, 0), right.down, None if right.up_bias is None else right.up_bias.roll(half)
        )


DEFECTS: dict[type, Callable[[Any], bool]] = {
    AllReduceForgotten: always,
    BiasOnEveryRank: lambda case: case.has_bias,
    BiasForgotten: lambda case: case.has_bias,
    GradientNotSummed: back,
    GradientSummedTwice: back,
    OwnPartTwice: always,
    SummedTwice: always,
    LastRankDropped: always,
    RowsInWrongOrder: lambda case: case.rows >= case.world_size and case.rows % case.world_size == 0,
    StaleSum: always,
    GateAndUpSwapped: lambda case: case.activation == "swiglu",
}
