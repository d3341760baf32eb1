"""Broken decoders whose ranks share each layer: sums that are forgotten or made twice, heads and tokens of others.

Ranks import this file by itself, so that it leans on none beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch import distributed as dist

from attnlab.bench import Crew, GenerateCase, ModelWeights
from attnlab.impls.generate._engine.adapter import EngineAdapter
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.rank_engine import RankEngine, all_reduced
from attnlab.impls.generate._engine.rank_weights import vocabulary_of_rank, weights_of_rank
from attnlab.impls.generate._engine.sharded_engine import ShardedEngine


class Sharded(EngineAdapter):
    """Our decoder on several ranks, told so that its engines can be spoilt."""

    engine: type[ShardedEngine] = ShardedEngine

    def _engine(self, case: GenerateCase, weights: ModelWeights, batch: int, other: Any) -> Any:
        return self.engine(case, weights, self.parts, batch, other and other.crew)


class OneSumOtherwise(RankEngine):
    """The sum of one place in each pass, `at`, is something else."""

    at = 0

    def __init__(self, case: GenerateCase, weights: ModelWeights, parts: Parts) -> None:
        super().__init__(case, weights, parts)
        self._sums = 0
        self._decoder.total = self.counted

    def counted(self, branch: Tensor) -> Tensor:
        place, self._sums = self._sums % (2 * self._case.config.layers), self._sums + 1
        return self.otherwise(branch) if place == self.at else all_reduced(branch)

    def otherwise(self, branch: Tensor) -> Tensor:
        return branch


class WithoutAnMlp(OneSumOtherwise):
    at = 1


class WithoutTheLastAttention(OneSumOtherwise):
    at = 4


class Twice(OneSumOtherwise):
    def otherwise(self, branch: Tensor) -> Tensor:
        return all_reduced(all_reduced(branch))


class OtherTokens(RankEngine):
    def __init__(self, case: GenerateCase, weights: ModelWeights, parts: Parts) -> None:
        super().__init__(case, weights, parts)
        ranks = dist.get_world_size()
        self._own = vocabulary_of_rank(weights.config.vocab_size, ranks - 1 - dist.get_rank(), ranks)


class OfWeights(ShardedEngine):
    """Ranks that hold something else."""

    def _recruit(self, weights: ModelWeights, parts: Parts) -> Crew:
        ranks = self._case.tensor_parallel
        held = [(self._case, self.weights_of(weights, rank, ranks), parts) for rank in range(ranks)]
        return Crew(self.rank_engine, held, weights.device.type)

    def weights_of(self, weights: ModelWeights, rank: int, ranks: int) -> ModelWeights:
        here = replace(weights, embedding=weights.embedding.clone())
        right, other = (weights_of_rank(here, number, ranks) for number in (rank, ranks - 1 - rank))
        return replace(right, layers=tuple(self.layer(a, b) for a, b in zip(right.layers, other.layers, strict=True)))

    def layer(self, right: Any, other: Any) -> Any:
        return right


class FirstHeads(OfWeights):
    def weights_of(self, weights: ModelWeights, rank: int, ranks: int) -> ModelWeights:
        here = replace(weights, embedding=weights.embedding.clone())
        return replace(weights_of_rank(here, 0, ranks), head=weights_of_rank(here, rank, ranks).head)


class OutputsSwapped(OfWeights):
    def layer(self, right: Any, other: Any) -> Any:
        return replace(right, output=other.output)


class KeysSwapped(OfWeights):
    def layer(self, right: Any, other: Any) -> Any:
        return replace(right, key=other.key, value=other.value)


def of_ranks(kind: type[RankEngine]) -> type[ShardedEngine]:
    return type(f"On{kind.__name__}", (ShardedEngine,), {"rank_engine": kind})


class SumOfOneAttentionForgotten(Sharded):
    engine = of_ranks(OneSumOtherwise)


class SumOfOneMlpForgotten(Sharded):
    engine = of_ranks(WithoutAnMlp)


class SumOfTheLastAttentionForgotten(Sharded):
    engine = of_ranks(WithoutTheLastAttention)


class SumMadeTwice(Sharded):
    engine = of_ranks(Twice)


class LogitsInTheOtherPlace(Sharded):
    engine = of_ranks(OtherTokens)


class HeadsOfTheFirstRankTwice(Sharded):
    engine = FirstHeads


class OutputsOfTheOtherRank(Sharded):
    engine = OutputsSwapped


class KeysOfTheOtherRank(Sharded):
    engine = KeysSwapped


def always(case: Any) -> bool:
    return True


DEFECTS: dict[type, Callable[[Any], bool]] = {
    SumOfOneAttentionForgotten: always,
    SumOfOneMlpForgotten: always,
    SumOfTheLastAttentionForgotten: always,
    SumMadeTwice: always,
    LogitsInTheOtherPlace: always,
    HeadsOfTheFirstRankTwice: always,
    OutputsOfTheOtherRank: always,
    KeysOfTheOtherRank: always,
}
