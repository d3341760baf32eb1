"""What our implementations of `generate` share: they differ in the parts of the decoder alone."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attnlab.bench.generation.decoding import PLAIN
from attnlab.bench.generation.recorder import Recorder
from attnlab.bench.ops.generate import GenerateCase, Generated, GenerateInputs
from attnlab.impls._lm.engine import Engine
from attnlab.impls._lm.parts import Parts
from attnlab.impls._lm.setting import Method, Setting


class Ours:
    """Our decoder from `parts`; `graphs` captures steps as CUDA graphs where the device is one."""

    parts: ClassVar[Parts] = Parts()
    graphs: ClassVar[bool] = False

    def supports(self, case: GenerateCase) -> str | None:
        return None

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> Server:
        if case.batching == "continuous":
            from attnlab.impls._lm.continuous import Continuous

            continuous: Server = Continuous(case, inputs.weights, self.parts)
            return continuous
        spare = case.decoding.guesses + 1  # of a last pass whose guesses go beyond the end
        name = "plain" if case.decoding.method in PLAIN else case.decoding.method
        module = importlib.import_module(f"attnlab.impls._lm.decoding.{name}")
        sequences = module.sequences(case) if hasattr(module, "sequences") else case.batch
        engine = Engine(
            inputs.weights, self.parts, case.placing, case.format, sequences, case.total + spare, self.graphs
        )
        method: Method = module.prepare(Setting(case, inputs.weights, self.parts, engine))
        return Static(case, engine, method)

    def run(self, inputs: GenerateInputs, server: Server) -> Generated:
        recorder = inputs.begin()
        tokens = server.serve(recorder, inputs.seed)
        return Generated(tokens, recorder.log())

    def configuration(self, case: GenerateCase) -> str | None:
        if case.batching == "continuous":
            from attnlab.impls._lm.continuous import CHUNK

            return f"{self.parts}, prompts in chunks of {CHUNK} tokens"
        return f"{self.parts}{', steps as CUDA graphs' if self.graphs else ''}"


class Server:
    """Answers all requests of a call."""

    def serve(self, recorder: Recorder, seed: int) -> Tensor:
        """int64 [R, N] on the CPU."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Static(Server):
    """A batch of requests is gathered, then served to its end, and only then the next."""

    case: GenerateCase
    engine: Engine
    method: Method

    def serve(self, recorder: Recorder, seed: int) -> Tensor:
        requests = list(range(recorder.requests))
        answers = []
        for first in range(0, len(requests), self.case.batch):
            batch = requests[first : first + self.case.batch]
            recorder.wait_for(batch[-1])
            answers.append(self._answer(recorder, batch, seed))
        recorder.count("cache", float(self.engine.cache_nbytes))
        return torch.cat(answers)

    def _answer(self, recorder: Recorder, batch: Sequence[int], seed: int) -> Tensor:
        self.engine.begin()
        answer = self.method.answer(recorder, batch, seed)
        for made in self.engine.passes():
            recorder.ran(made)
        return answer
