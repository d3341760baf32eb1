"""One rank's part of a tensor-parallel MLP: its columns of the first layers, its rows of the second, and one sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from attnlab.bench import OfRanks, TensorParallelCase, TensorParallelShard
from attnlab.impls.tensor_parallel_linear._sums import copied, summed

Outputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class RankWeights:
    """up [C J, H], down [H, J] and up_bias [C J] or None, contiguous; J columns of this rank."""

    up: Tensor
    down: Tensor
    up_bias: Tensor | None


class RankMlp(OfRanks):
    """Sums over ranks are made by `total`."""

    @staticmethod
    def total(x: Tensor) -> Tensor:
        """The sum over ranks of x [M, H], on every rank; x may be overwritten."""
        raise NotImplementedError

    def prepare_rank(self, case: TensorParallelCase | None, shard: TensorParallelShard) -> RankWeights:
        bias = None if shard.up_bias is None else shard.up_bias.flatten()
        return RankWeights(shard.up.flatten(0, 1).contiguous(), shard.down.contiguous(), bias)

    def run_rank(self, shard: TensorParallelShard, state: RankWeights) -> Outputs:
        if shard.dout is None:
            with torch.no_grad():
                return (self.forward(shard.x, shard, state),)
        given = [tensor.detach().requires_grad_() for tensor in (shard.x, state.up, state.down)]
        with torch.enable_grad():
            x, up, down = given
            out = self.forward(x, shard, RankWeights(up, down, state.up_bias))
        dx, dup, ddown = torch.autograd.grad(out, given, shard.dout)
        return out.detach(), dx, dup.view(shard.up.shape), ddown

    def forward(self, x: Tensor, shard: TensorParallelShard, weights: RankWeights) -> Tensor:
        """[M, H] -> [M, H]."""
        out = summed(self.part(copied(x, self.total), shard, weights), self.total)
        return out if shard.down_bias is None else out + shard.down_bias

    def part(self, x: Tensor, shard: TensorParallelShard, weights: RankWeights) -> Tensor:
        """What this rank's columns give, [M, H]."""
        before = functional.linear(x, weights.up, weights.up_bias)
        if shard.activation == "swiglu":
            gate, up = before.chunk(2, 1)
            return functional.linear(functional.silu(gate) * up, weights.down)
        return functional.linear(functional.gelu(before), weights.down)

    def alone_rank(self, shard: TensorParallelShard, state: RankWeights) -> dict[str, Callable[[], object]]:
        """What a call communicates, and the whole MLP on rank 0 while the others wait."""
        sums = [torch.zeros_like(shard.x) for _ in range(1 if shard.dout is None else 2)]
        return {"communication": lambda: [self.total(x) for x in sums], "one_rank": _on_one_rank(shard)}


class _Whole(RankMlp):
    """All columns, so that nothing is left to sum."""

    @staticmethod
    def total(x: Tensor) -> Tensor:
        return x


def _on_one_rank(shard: TensorParallelShard) -> Callable[[], object]:
    """A call with this rank's columns as often as there are ranks; nothing on other ranks than the first."""
    if shard.rank:
        return lambda: None
    alone, times = _Whole(), shard.world_size
    bias = None if shard.up_bias is None else torch.cat([shard.up_bias] * times, 1)
    whole = replace(shard, up=torch.cat([shard.up] * times, 1), down=torch.cat([shard.down] * times, 1), up_bias=bias)
    weights = alone.prepare_rank(None, whole)
    return lambda: alone.run_rank(whole, weights)
