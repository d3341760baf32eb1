"""How the requests of a call are gathered into batches, and batches that are filled and served to their end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm import Recorder
from attnlab.impls.generate._engine.decoding_method import DecodingMethod
from attnlab.impls.generate._engine.engine import Engine


class Batching:
    """Answers all requests of a call."""

    def serve(self, recorder: Recorder, seed: int) -> Tensor:
        """int64 [R, N] on the CPU."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class BatchRunner:
    """Answers batches of as many requests as its engine has room for, by one way of decoding."""

    engine: Engine
    method: DecodingMethod

    def run(self, recorder: Recorder, requests: Sequence[int], seed: int) -> Tensor:
        """int64 [B, N] on the CPU."""
        self.engine.reset()
        answers = self.method.generate(recorder, requests, seed)
        for one in self.engine.passes():
            recorder.ran(one)
        return answers


@dataclass(frozen=True, eq=False)
class StaticBatching(Batching):
    """`size` requests are gathered, then served to their end, and only then the next.

    full: for batches of that size. last: for the requests that are left over.
    """

    size: int
    full: BatchRunner
    last: BatchRunner

    def serve(self, recorder: Recorder, seed: int) -> Tensor:
        answers = []
        for batch in recorder.batches(self.size):
            runner = self.full if len(batch) == self.size else self.last
            answers.append(runner.run(recorder, batch, seed))
        recorder.count("cache", float(self.full.engine.cache_nbytes))
        return torch.cat(answers)
