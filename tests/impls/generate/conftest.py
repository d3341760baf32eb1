"""Models small enough for every continuation to be enumerated, and answers of our decoder to given prompts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch._dynamo  # names its cache in the environment as it is first imported
from torch import Tensor

from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs, GenerateOutputs
from attnlab.impls.generate._engine.adapter import EngineAdapter
from attnlab.impls.generate._engine.batching import BatchRunner, StaticBatching

Tiny = Callable[..., ModelWeights]
Prepare = Callable[..., BatchRunner]
Answer = Callable[..., GenerateOutputs]


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """tiny(vocabulary, layers, head_dim, seed) -> a model with random weights in float32."""

    def make(vocabulary: int, layers: int = 2, head_dim: int = 8, seed: int = 0) -> ModelWeights:
        config = ModelConfig(
            name="tiny",
            vocab_size=vocabulary,
            hidden_size=16,
            intermediate_size=24,
            layers=layers,
            q_heads=2,
            kv_heads=1,
            head_dim=head_dim,
            rope_theta=10_000.0,
            norm_eps=1e-5,
            context_length=1024,
            tied_embeddings=True,
        )
        return random_weights(config, torch.float32, "cpu", seed)

    return make


def static_batching(
    weights: ModelWeights, prompts: Tensor, seed: int, axes: dict[str, object]
) -> tuple[GenerateInputs, StaticBatching]:
    known = {"model": "toy", "prompts": "random", "dtype": "float32", "batch": len(prompts)}
    case = GenerateCase.build({**known, "prompt_len": prompts.shape[1], **axes})
    inputs = GenerateInputs(prompts, weights, None, (0.0,) * len(prompts), seed)
    batching = EngineAdapter().prepare(case, inputs)
    assert isinstance(batching, StaticBatching)
    return inputs, batching


@pytest.fixture(scope="session")
def prepare() -> Prepare:
    """prepare(weights, prompts, **axes) -> our decoder, ready for a batch of those prompts [B, P]."""

    def make(weights: ModelWeights, prompts: Tensor, **axes: object) -> BatchRunner:
        return static_batching(weights, prompts, 0, axes)[1].full

    return make


@pytest.fixture(scope="session")
def answer() -> Answer:
    """answer(weights, prompts, seed, **axes) -> the answers and their log."""

    def make(weights: ModelWeights, prompts: Tensor, seed: int = 0, **axes: object) -> GenerateOutputs:
        return EngineAdapter().run(*static_batching(weights, prompts, seed, axes))

    return make
