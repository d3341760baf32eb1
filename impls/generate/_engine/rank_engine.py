"""One rank's part of a model, and its passes: every rank makes the same ones, and sums what layers give over all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch import distributed as dist

from attnlab.bench import GenerateCase, ModelWeights
from attnlab.impls.generate._engine.decoder import Decoder
from attnlab.impls.generate._engine.engine import Engine
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.rank_weights import vocabulary_of_rank


def capacity_of(case: GenerateCase) -> int:
    """Tokens that a sequence may have: the guesses of a last pass go beyond the end."""
    return case.total + case.decoding.guesses + 1


def all_reduced(branch: Tensor) -> Tensor:
    """[M, H], summed over ranks, in place."""
    dist.all_reduce(branch)
    return branch


class RankEngine:
    """Engines for batches of some sizes on one decoder, whose heads, columns and tokens are this rank's."""

    def __init__(self, case: GenerateCase, weights: ModelWeights, parts: Parts) -> None:
        device = torch.device("cuda", dist.get_rank()) if dist.get_backend() == "nccl" else torch.device("cpu")
        here = weights.to(device, weights.dtype).joined()
        self._case, self._parts, self._capacity = case, parts, capacity_of(case)
        self._decoder = Decoder(here, parts, self._capacity, self.summed)
        self._own = vocabulary_of_rank(weights.config.vocab_size, dist.get_rank(), dist.get_world_size())
        self._engines: dict[int, Engine] = {}  # by the size of the batch
        self._rooms: dict[int, Tensor] = {}

    summed = staticmethod(all_reduced)

    def cache_nbytes(self, batch: int) -> int:
        """Of the rank's caches for so many sequences."""
        return self._engine(batch).cache_nbytes

    def take_room(self, logits: Tensor) -> None:
        """Where logits [B, S, V] of batches of B go, in memory that ranks share: each writes those of its tokens."""
        self._rooms[len(logits)] = logits

    def set_up(self, batch: int, prompt_len: int, new: Sequence[int]) -> None:
        self._engine(batch).set_up(prompt_len, *new)

    def prefill(self, ids: Tensor) -> None:
        """Prompts [B, P] -> this rank's share of the logits after their last tokens."""
        engine = self._engine(len(ids))
        engine.reset()
        self._rooms[len(ids)][:, 0, self._own] = engine.prefill(ids).cpu()

    def decode(self, ids: Tensor, lengths: Sequence[int]) -> None:
        """Tokens [B, S] behind so many others of each sequence -> this rank's share of the logits after each."""
        engine = self._engine(len(ids))
        engine.rewind(lengths)
        self._rooms[len(ids)][:, : ids.shape[1], self._own] = engine.decode(ids).cpu()

    def _engine(self, batch: int) -> Engine:
        if batch not in self._engines:
            self._engines[batch] = Engine(
                self._decoder.weights,
                self._parts,
                self._case.placing,
                self._case.format,
                batch,
                self._capacity,
                decoder=self._decoder,
            )
        return self._engines[batch]
