"""What a way of decoding is, and what it works with: the engine, the model behind it, and the case's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from attnlab.bench import GenerateCase, ModelWeights, SamplingParams
from attnlab.bench.llm import Recorder
from attnlab.impls.generate._engine.engine import Engine
from attnlab.impls.generate._engine.parts import Parts


@dataclass(frozen=True, eq=False)
class DecodingContext:
    """A case that was set up: its engine has room for every token and for the draft tokens of a last pass."""

    case: GenerateCase
    weights: ModelWeights
    parts: Parts
    engine: Engine

    @property
    def new_tokens(self) -> int:
        return self.case.new_tokens

    @property
    def params(self) -> SamplingParams:
        return self.case.decoding.params


class DecodingMethod(Protocol):
    """A way of decoding; a module of `decoding` makes one by `prepare(context)`."""

    def generate(self, recorder: Recorder, requests: Sequence[int], seed: int) -> Tensor:
        """Answers to a batch of requests, int64 [B, N] on the CPU; tokens are told to the recorder as they come."""
        ...
