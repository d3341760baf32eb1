"""The check of `generate`: what each draw of a case is expected to answer, and how sharply that can be told."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from attnlab.bench.llm.generation.decoding import BEAM, Decoding
from attnlab.bench.llm.models.reference import reference_greedy
from attnlab.bench.ops.generate.answers import Answers, ManyAnswers
from attnlab.bench.ops.generate.exams import is_many, is_short
from attnlab.bench.ops.generate.sharpness import Sharpness, sharpness_of, sharpness_of_exam, sharpness_of_many

if TYPE_CHECKING:
    from attnlab.bench.llm.models.weights import ModelWeights
    from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs

Weights = Callable[[Any, torch.device], "ModelWeights"]


@dataclass(frozen=True)
class ExactTokens:
    """weights(case, device): the model that the inputs hold.

    measured, many: the sharpness of cases, by what it hangs on, which takes seconds and is measured once in a process.
    """

    weights: Weights
    measured: dict[str, Sharpness] = field(default_factory=dict)
    many: dict[str, dict[str, Any]] = field(default_factory=dict)

    def expect(self, case: GenerateCase, inputs: GenerateInputs) -> Answers:
        device = inputs.weights.embedding.device
        if inputs.asks and is_many(case, inputs.seed):
            return self._many(case, inputs)
        faults = inputs.asks and is_short(inputs.seed)
        key = f"{_reading_of(case)}, {inputs.asks}, {faults}"
        prompts = inputs.prompts if inputs.asks else inputs.prompts[:1]
        continuation = prompts[:, :0].cpu()
        if key not in self.measured or case.decoding.method == BEAM:
            continuation = reference_greedy(inputs.weights, prompts, case.new_tokens).cpu()
        answers = Answers(
            case, lambda: self.weights(case, device), inputs.prompts.cpu(), continuation, noise=math.nan, ties=math.nan
        )
        if key not in self.measured:
            self.measured[key] = (
                sharpness_of_exam(answers, inputs.weights, faults=faults)
                if inputs.asks
                else sharpness_of(answers, inputs.weights)
            )
        return replace(answers, **vars(self.measured[key]))

    def _many(self, case: GenerateCase, inputs: GenerateInputs) -> ManyAnswers:
        device, prompts = inputs.weights.embedding.device, inputs.prompts.cpu()
        blank = prompts[:1, :0]
        answers = ManyAnswers(case, lambda: self.weights(case, device), prompts, blank, math.nan, math.nan)
        key = f"{replace(case, batch=1).id}, many"
        if key not in self.many:
            self.many[key] = sharpness_of_many(answers, inputs.weights)
        return replace(answers, **self.many[key])


def _reading_of(case: GenerateCase) -> tuple[object, ...]:
    """What the sharpness of a case hangs on: greedy answers are the same however they are guessed and batched."""
    decoding = Decoding.read("greedy") if case.decoding.greedy else case.decoding
    return (
        case.model,
        case.weights,
        case.dtype,
        case.cache,
        case.placing.page_tokens,
        case.prompts,
        case.prompt_len,
        case.new_tokens,
        case.requests,
        decoding.write(),
        *([case.tensor_parallel] if case.tensor_parallel > 1 else []),
    )
