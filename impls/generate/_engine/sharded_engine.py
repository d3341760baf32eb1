"""An engine whose passes are made by several ranks, each with a part of every layer, while this process decides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from attnlab.bench import Crew, GenerateCase, ModelWeights
from attnlab.bench.llm import Pass, span
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.passes import ForwardPass, log_of
from attnlab.impls.generate._engine.rank_engine import RankEngine
from attnlab.impls.generate._engine.rank_weights import weights_of_rank


class ShardedEngine:
    """As `Engine`, but that its passes are those of a crew, a `RankEngine` on each rank, made here or another engine's.

    Tokens are chosen here, from logits that ranks write side by side, so that all ranks make the same passes.
    """

    rank_engine: type[RankEngine] = RankEngine

    def __init__(
        self, case: GenerateCase, weights: ModelWeights, parts: Parts, batch: int, crew: Crew | None = None
    ) -> None:
        self._case, self._weights, self.batch = case, weights, batch
        self.crew = crew or self._recruit(weights, parts)
        shape = (batch, case.decoding.guesses + 1, weights.config.vocab_size)
        self._logits = self.crew.room("take_room", shape, weights.dtype)
        self.lengths: list[int] = [0] * batch
        self._passes: list[ForwardPass] = []

    def _recruit(self, weights: ModelWeights, parts: Parts) -> Crew:
        ranks, here = self._case.tensor_parallel, weights.to("cpu", weights.dtype)
        here = replace(here, embedding=here.embedding.clone())  # which all ranks share
        held = [(self._case, weights_of_rank(here, rank, ranks), parts) for rank in range(ranks)]
        return Crew(self.rank_engine, held, weights.device.type)

    @property
    def device(self) -> torch.device:
        """Where tokens are chosen: the model's own."""
        return self._weights.device

    @property
    def cache_nbytes(self) -> int:
        """Of all ranks."""
        return sum(self.crew.ask("cache_nbytes", self.batch))

    def reset(self) -> None:
        """Forget every sequence and pass."""
        self.lengths, self._passes = [0] * self.batch, []

    def set_up(self, prompt_len: int, *new: int) -> None:
        """Make ready for prompts of that length and decode passes of so many tokens, so that no call has to."""
        self.crew.ask("set_up", self.batch, prompt_len, new)

    def prefill(self, ids: Tensor, kind: str = "prefill") -> Tensor:
        """Compute prompts [B, P] int64 from the beginning -> logits [B, V] after their last token."""
        start_ns, lengths = time.perf_counter_ns(), [ids.shape[1]] * self.batch
        with span(kind):
            self.crew.ask("prefill", ids.cpu())
            logits = self._logits[:, 0].to(self.device, copy=True)
        self._finish(kind, start_ns, ids, lengths)
        return logits

    def decode(self, ids: Tensor, kind: str = "decode") -> Tensor:
        """Compute S tokens more of every sequence, ids [B, S] -> logits [B, S, V] after each of them."""
        start_ns, new = time.perf_counter_ns(), ids.shape[1]
        with span(kind):
            self.crew.ask("decode", ids.cpu(), self.lengths)
            logits = self._logits[:, :new].to(self.device, copy=True)
        self._finish(kind, start_ns, ids, [length + new for length in self.lengths])
        return logits

    def verify(self, ids: Tensor) -> Tensor:
        """Compute the last token of every sequence and the draft tokens behind it, ids [B, 1 + K] -> [B, 1 + K, V]."""
        return self.decode(ids, "verify")

    def note_acceptance(self, drafted: Sequence[int], accepted: Sequence[int]) -> None:
        """How many draft tokens of each sequence the last pass was to verify, and how many of them were accepted."""
        self._passes[-1] = replace(self._passes[-1], drafted=tuple(drafted), accepted=tuple(accepted))

    def rewind(self, lengths: Sequence[int]) -> None:
        """Take tokens back: sequences are so long now."""
        self.lengths = list(lengths)

    def passes(self) -> list[Pass]:
        """What was run since `reset`, with the bytes that all ranks together read in each."""
        return log_of(self._passes, self._weights, self._case.placing, self._case.format)

    def _finish(self, kind: str, start_ns: int, ids: Tensor, lengths: Sequence[int]) -> None:
        elapsed_ns = float(time.perf_counter_ns() - start_ns)
        new = (ids.shape[1],) * self.batch
        self.lengths = list(lengths)
        self._passes.append(ForwardPass(kind, start_ns, elapsed_ns, ids.numel(), tuple(lengths), new))
