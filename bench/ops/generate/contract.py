"""Operator `generate`: a language model answers requests, token by token."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.contract.operator_spec import NEEDLE_DRAW, Operator, TensorSpec
from attnlab.bench.contract.registry import registry
from attnlab.bench.llm.generation.events import series_of
from attnlab.bench.llm.generation.evidence import NAME as LOGS
from attnlab.bench.llm.generation.stored import Q4_1, SAME
from attnlab.bench.llm.models.load import load_model, load_tokenizer
from attnlab.bench.llm.models.prompts import RANDOM, prompt_ids
from attnlab.bench.llm.models.reference import reference_greedy
from attnlab.bench.llm.models.sources import PACKAGED, is_path
from attnlab.bench.llm.models.tokenizer import Tokenizer
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.quantization.calibration import ids_to_calibrate
from attnlab.bench.llm.quantization.choosing import quantisation_method
from attnlab.bench.llm.quantization.kept_models import quantised_model
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs, GenerateOutputs, recipe_of
from attnlab.bench.ops.generate.check import ExactTokens
from attnlab.bench.ops.generate.cost import bytes_moved, input_bytes, operations
from attnlab.bench.ops.generate.exams import EXAMS, exam_cases, is_many
from attnlab.bench.ops.generate.witness import attest, refute
from attnlab.bench.store.records import Series

OTHER_SEED = 1_000_003


def weights_of(model: str, dtype: torch.dtype, device: torch.device, stored: str = SAME) -> ModelWeights:
    """The model, read once a process: inputs of all draws share it. stored: as the axis `weights` says it."""
    where = torch.empty(0, device=device).device  # "cuda" and "cuda:0" are one place
    return _weights_on(model, dtype, where, SAME if stored == Q4_1 else stored)


@lru_cache(maxsize=2)
def _weights_on(model: str, dtype: torch.dtype, device: torch.device, stored: str) -> ModelWeights:
    recipe = recipe_of(stored)
    if recipe is None:
        return load_model(model, dtype, device).joined()
    weights = load_model(model, torch.float32, device)
    ids = ids_to_calibrate(model, weights.config) if quantisation_method(recipe.method).calibrated else None
    return quantised_model(weights, recipe, ids).in_dtype(dtype).joined()


def weights_for(case: GenerateCase, device: torch.device) -> ModelWeights:
    """The model of a case, its rotary frequencies those of the case's lengths."""
    return weights_of(case.model, case.torch_dtype, device, case.weights).settled(case.prompt_len, case.total)


@lru_cache(maxsize=2)
def shared_tokenizer(model: str) -> Tokenizer | None:
    """The model's tokenizer, built once a process; None of a published shape with random weights."""
    return load_tokenizer(model) if is_path(model) or model == PACKAGED else None


def _tokenizer_for(case: GenerateCase) -> Tokenizer | None:
    """What the prompts are made with; random ids are of no text, and want none."""
    return None if case.prompts == RANDOM else shared_tokenizer(case.model)


def make_inputs(case: GenerateCase, draw: str, seed: int, device: torch.device) -> GenerateInputs:
    """Seeded prompts of the case's set, each of exactly prompt_len tokens."""
    tokenizer = _tokenizer_for(case)
    weights, prompts = weights_for(case, device), _prompts(case, tokenizer, seed)
    return GenerateInputs(
        prompts,
        weights,
        tokenizer,
        case.arrivals.times_s(case.requests, seed),
        seed,
        asks=draw == NEEDLE_DRAW,
        foretold=_foretold(case, weights, prompts),
    )


def redrawn(case: GenerateCase, inputs: GenerateInputs, seed: int) -> GenerateInputs:
    """Other prompts for the same model."""
    prompts = _prompts(case, inputs.tokenizer, seed)
    return replace(inputs, prompts=prompts, foretold=_foretold(case, inputs.weights, prompts))


def _foretold(case: GenerateCase, weights: ModelWeights, prompts: Tensor) -> Tensor | None:
    """What synthetic guesses are made of: the reference's own answers, in the case's dtype, [R, N] on the CPU."""
    if case.decoding.synthetic is None:
        return None
    return reference_greedy(weights, prompts, case.new_tokens, case.torch_dtype).cpu()


def _prompts(case: GenerateCase, tokenizer: Tokenizer | None, seed: int) -> Tensor:
    return prompt_ids(case.prompts, tokenizer, case.requests, case.prompt_len, seed, vocab_size=case.config.vocab_size)


def outputs(case: GenerateCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec("tokens", (case.requests, case.new_tokens), torch.int64),)


def evidence(case: GenerateCase) -> tuple[TensorSpec, ...]:
    return (TensorSpec(LOGS, (case.requests, case.new_tokens), torch.float32, optional=True),)


def handed_over(inputs: GenerateInputs, returned: Any) -> Any:
    """The tokens; where inputs ask, with their log-probabilities, NaN where the engine gives none."""
    tokens = returned.tokens if isinstance(returned, GenerateOutputs) else returned
    if not inputs.asks:
        return tokens
    logs = returned.logs if isinstance(returned, GenerateOutputs) else None
    if logs is None and isinstance(tokens, Tensor):
        logs = torch.full(tokens.shape, math.nan)
    return tokens, logs


def other_calls(case: GenerateCase, inputs: GenerateInputs) -> tuple[GenerateInputs, ...]:
    """Of many sampled answers one more, with another seed: chance must differ."""
    return (replace(inputs, seed=inputs.seed + OTHER_SEED),) if is_many(case, inputs.seed) else ()


def observed(inputs: GenerateInputs, returned: GenerateOutputs) -> tuple[Series, ...]:
    """What a timed call says of itself: the log of its requests and passes."""
    return series_of(returned.log)


GENERATE: Operator[GenerateCase, GenerateInputs] = Operator(
    name="generate",
    summary="a language model answering requests: TTFT, ITL, batches, sampling, speculative decoding",
    case_type=GenerateCase,
    inputs_type=GenerateInputs,
    outputs=outputs,
    make_inputs=make_inputs,
    operations=operations,
    bytes_moved=bytes_moved,
    input_bytes=input_bytes,
    check=ExactTokens(weights_for),
    length_axis="prompt_len",
    headlines=("ttft_ns", "itl_ns", "output_tok_per_s", "acceptance_rate", "goodput_per_s", "speedup"),
    needle_draws=EXAMS,
    needle_cases=exam_cases,
    evidence=evidence,
    other_calls=other_calls,
    checked_draws=1,
    results=handed_over,
    observe=observed,
    attest=attest,
    refute=refute,
    redrawn=redrawn,
    in_ranks=lambda case: case.tensor_parallel > 1,
)
registry.operators.add(GENERATE.name, GENERATE, __name__)
