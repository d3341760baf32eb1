"""What our implementations of `generate` share: they differ in the parts of the decoder alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from attnlab.bench import SKIPPED, GenerateCase, Generated, GenerateInputs, config_of, import_named
from attnlab.bench.llm import PLAIN, SAME, Recorder
from attnlab.impls._lm.capped import no_cap
from attnlab.impls._lm.decoder import Decoder
from attnlab.impls._lm.engine import Engine
from attnlab.impls._lm.parts import Parts
from attnlab.impls._lm.setting import Method, Setting


class Ours:
    """Our decoder from `parts`; `graphs` captures steps as CUDA graphs where the device is one."""

    parts: ClassVar[Parts] = Parts()
    graphs: ClassVar[bool] = False

    @property
    def built_from(self) -> tuple[str, ...]:
        """Parts and ways of decoding are chosen by name."""
        return (*self.parts.keys, "attnlab.impls._lm.decoding")

    def supports(self, case: GenerateCase) -> str | None:
        if case.weights != SAME:
            return f"weights {case.weights} are not served: {SAME} only"
        models = [case.config] if case.draft == SKIPPED else [case.config, config_of(case.draft)]
        return next((reason for config in models if (reason := no_cap(config, self.parts)) is not None), None)

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> Server:
        if case.batching == "continuous":
            from attnlab.impls._lm.continuous import Continuous

            continuous: Server = Continuous(case, inputs.weights, self.parts)
            return continuous
        whole = self._desk(case, inputs)
        left_over = case.requests % case.batch
        if not left_over:
            return Static(case.batch, whole, whole)
        fewer = replace(case, batch=left_over, requests=left_over)
        return Static(case.batch, whole, self._desk(fewer, inputs, whole.engine.decoder))

    def _desk(self, case: GenerateCase, inputs: GenerateInputs, decoder: Decoder | None = None) -> Desk:
        spare = case.decoding.guesses + 1  # of a last pass whose guesses go beyond the end
        name = "plain" if case.decoding.method in PLAIN else case.decoding.method
        module: Any = import_named("attnlab.impls._lm.decoding", name)
        sequences = module.sequences(case) if hasattr(module, "sequences") else case.batch
        engine = Engine(
            inputs.weights, self.parts, case.placing, case.format, sequences, case.total + spare, self.graphs, decoder
        )
        return Desk(engine, module.prepare(Setting(case, inputs.weights, self.parts, engine)))

    def run(self, inputs: GenerateInputs, server: Server) -> Generated:
        recorder = inputs.begin()
        tokens = server.serve(recorder, inputs.seed)
        return Generated(tokens, recorder.log(), None if recorder.evidence is None else recorder.evidence.tensor())

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
class Desk:
    """What answers a batch of so many requests as its engine has room for."""

    engine: Engine
    method: Method

    def answer(self, recorder: Recorder, batch: Sequence[int], seed: int) -> Tensor:
        self.engine.begin()
        answer = self.method.answer(recorder, batch, seed)
        for made in self.engine.passes():
            recorder.ran(made)
        return answer


@dataclass(frozen=True, eq=False)
class Static(Server):
    """`size` requests are gathered, then served to their end, and only then the next; `last` serves what is left."""

    size: int
    whole: Desk
    last: Desk

    def serve(self, recorder: Recorder, seed: int) -> Tensor:
        answers = []
        for batch in recorder.batches(self.size):
            desk = self.whole if len(batch) == self.size else self.last
            answers.append(desk.answer(recorder, batch, seed))
        recorder.count("cache", float(self.whole.engine.cache_nbytes))
        return torch.cat(answers)
