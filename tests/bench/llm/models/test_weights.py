"""Random weights are seeded and choose; weights move, and lose layers, without being copied."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from attnlab.bench import load_model
from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_greedy, reference_logits
from attnlab.bench.llm.models.weights import ModelWeights, layer_shapes, model_shapes

UNTIED = dataclasses.replace(PUBLISHED["toy"], tied_embeddings=False, qkv_bias=True)
IDS = torch.randint(0, 512, (2, 60), generator=torch.Generator().manual_seed(1))


def tensors(weights: ModelWeights) -> list[torch.Tensor]:
    outer = [getattr(weights, name) for name in model_shapes(weights.config)]
    return [*outer, *(x for layer in weights.layers for x in layer.tensors())]


CONFIGS = [PUBLISHED["toy"], UNTIED, *(PUBLISHED[name] for name in ("toy_qwen3", "toy_gemma2", "toy_gemma3"))]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name if config is not UNTIED else "untied")
def test_shapes_and_sizes_are_the_configurations(config: object) -> None:
    weights = random_weights(config, torch.bfloat16, "cpu")  # type: ignore[arg-type]
    shapes = (
        list(model_shapes(weights.config).values())
        + list(layer_shapes(weights.config).values()) * weights.config.layers
    )
    assert [tuple(x.shape) for x in tensors(weights)] == shapes
    assert sum(x.numel() for x in tensors(weights)) == weights.config.parameters
    assert weights.nbytes == weights.config.weight_bytes("bfloat16")
    assert (weights.head is weights.embedding) == weights.config.tied_embeddings


def test_a_seed_gives_one_model_in_every_dtype() -> None:
    first, again, other = (load_model("toy", torch.float32, "cpu", seed=seed) for seed in (5, 5, 6))
    half = load_model("toy", torch.bfloat16, seed=5)
    assert all(map(torch.equal, tensors(first), tensors(again)))
    assert not any(map(torch.equal, tensors(first), tensors(other)))
    assert all(torch.equal(x.bfloat16(), y) for x, y in zip(tensors(first), tensors(half), strict=True))
    assert first.fingerprint == "toy, random, seed 5, float32"
    assert len({x.fingerprint for x in (first, other, half)}) == 3


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name if config is not UNTIED else "untied")
def test_random_models_choose_and_do_not_repeat_themselves(config: object) -> None:
    weights = random_weights(config, torch.float32, "cpu")  # type: ignore[arg-type]
    logits = reference_logits(weights, IDS)
    capped = weights.config.logit_softcap is not None
    assert 2.0 < float(logits.std()) < 4.0
    assert (0.02 if capped else 0.1) < float(logits.softmax(-1).amax(-1).mean()) < 0.7
    produced = reference_greedy(weights, IDS, 60)
    assert all(len(set(row)) > 15 for row in produced.tolist())
    assert (produced[:, 1:] == produced[:, :-1]).float().mean() < (0.45 if capped else 0.3)  # capped scores see less


def test_what_is_there_already_is_shared() -> None:
    weights = load_model("toy")
    moved = weights.to("cpu", torch.float32)
    assert all(x is y for x, y in zip(tensors(moved), tensors(weights), strict=True))
    half = weights.to("cpu", torch.float16)
    assert half.head is half.embedding
    assert {x.dtype for x in tensors(half)} == {torch.float16}
    assert (half.dtype, half.nbytes * 2, half.device.type) == (torch.float16, weights.nbytes, "cpu")


def test_a_model_of_some_layers_shares_them() -> None:
    weights = load_model("toy")
    draft = weights.skipping((0, 2))
    assert draft.config.layers == len(draft.layers) == 2
    assert draft.layers[1] is weights.layers[2]
    assert draft.embedding is weights.embedding
    assert draft.fingerprint == "toy, random, seed 0, layers 0,2 of 3, float32"
    assert not torch.equal(reference_logits(draft, IDS), reference_logits(weights, IDS))
    gemma = load_model("toy_gemma3").skipping((2, 3))
    assert gemma.config.windowed == (False, True)
    whole = weights.skipping(range(3))
    assert torch.equal(reference_logits(whole, IDS), reference_logits(weights, IDS))
    for wrong in ((), (0, 3), (-1,)):
        with pytest.raises(UsageError, match="expected some of 0 to 2"):
            weights.skipping(wrong)
