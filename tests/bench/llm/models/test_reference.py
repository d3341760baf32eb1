"""The plain decoder is what transformers computes for each architecture, and does not see what it must not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models import reference
from attnlab.bench.llm.models.config import PUBLISHED, ModelConfig
from attnlab.bench.llm.models.huggingface import config_json, state_dict
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_greedy, reference_logits
from attnlab.bench.llm.models.rope_scaling import Llama3Scaling

TOY = PUBLISHED["toy"]
SCALED = Llama3Scaling(8.0, low_frequency_factor=1.0, high_frequency_factor=4.0, original_length=64)
ARCHITECTURES = {
    "llama": TOY,
    "llama3": dataclasses.replace(TOY, rope_scaling=SCALED, rope_theta=500.0, tied_embeddings=False),
    "mistral": dataclasses.replace(TOY, sliding_window=16, tied_embeddings=False, kv_heads=1),
    "qwen2": dataclasses.replace(TOY, qkv_bias=True, norm_eps=1e-6, kv_heads=4),
}
IDS = torch.randint(0, 512, (3, 70), generator=torch.Generator().manual_seed(2))


def in_transformers(weights: Any) -> Any:
    transformers = pytest.importorskip("transformers", reason="package transformers is not installed")
    config = transformers.AutoConfig.for_model(**config_json(weights.config))
    model = transformers.AutoModelForCausalLM.from_config(config)
    left = model.load_state_dict(state_dict(weights), strict=False)
    assert not left.unexpected_keys
    assert set(left.missing_keys) <= {"lm_head.weight"}
    return model.eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_are_those_of_transformers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ARCHITECTURES[name]
    weights = random_weights(config, torch.float32, "cpu", seed=3)
    with torch.no_grad():
        expected = in_transformers(weights)(IDS).logits
    assert (reference_logits(weights, IDS) - expected).abs().max() < 1e-4
    exact = reference_logits(weights, IDS, torch.float64)
    assert (exact - expected).abs().max() < 1e-4
    monkeypatch.setattr(reference, "TOKENS_AT_ONCE", 100)
    monkeypatch.setattr(reference, "QUERIES_AT_ONCE", 32)
    monkeypatch.setattr(reference, "VOCABULARY_AT_ONCE", 100)
    in_pieces = reference_logits(weights, IDS, torch.float64, last=7)
    assert in_pieces.shape == (3, 7, 512)
    assert torch.allclose(in_pieces, exact[:, -7:], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [{"rope_scaling": None}, {"rope_theta": 600.0}, {"norm_eps": 1e-2}, {"sliding_window": 69}],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_configuration_shows(change: dict[str, Any]) -> None:
    config = ARCHITECTURES["llama3"]
    weights = random_weights(config, torch.float64, "cpu", seed=3)
    changed = dataclasses.replace(weights, config=dataclasses.replace(config, **change))
    assert (reference_logits(changed, IDS) - reference_logits(weights, IDS)).abs().max() > 1e-2


def test_later_tokens_are_not_seen() -> None:
    weights = random_weights(TOY, torch.float64, "cpu")
    whole = reference_logits(weights, IDS, torch.float64)
    padded = torch.cat([IDS[:, :40], torch.zeros(3, 30, dtype=torch.int64)], dim=1)
    assert torch.allclose(reference_logits(weights, padded, torch.float64)[:, :40], whole[:, :40], atol=1e-12)
    assert not torch.allclose(reference_logits(weights, padded, torch.float64)[:, 40:], whole[:, 40:], atol=1e-2)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_greedy_text_is_the_most_probable_of_a_pass_over_all(name: str) -> None:
    weights = random_weights(ARCHITECTURES[name], torch.float32, "cpu", seed=3)
    produced = reference_greedy(weights, IDS[:, :30], 40, torch.float64)
    whole = torch.cat([IDS[:, :30], produced], dim=1)
    expected = reference_logits(weights, whole, torch.float64, last=41)[:, :-1].argmax(-1)
    assert torch.equal(produced, expected)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.tensor([[0, 512]]), "from 0 to 512, expected 0 to 511"),
        (torch.tensor([[-1, 5]]), "from -1 to 5"),
        (torch.zeros(1, 0, dtype=torch.int64), r"\[1, 0\]"),
        (torch.zeros(4, dtype=torch.int64), r"expected int64 \[B, T\]"),
        (torch.zeros(1, 4), "float32"),
    ],
    ids=["above", "below", "none", "flat", "float"],
)
def test_ids_that_cannot_be_are_refused(ids: torch.Tensor, message: str) -> None:
    weights = random_weights(TOY, torch.float32, "cpu")
    for call in (lambda: reference_logits(weights, ids), lambda: reference_greedy(weights, ids, 1)):
        with pytest.raises(UsageError, match=message):
            call()
    with pytest.raises(UsageError, match="got last=71, expected 1 to the 70"):
        reference_logits(weights, IDS, last=71)


def test_a_window_of_all_keys_is_none() -> None:
    config: ModelConfig = dataclasses.replace(TOY, sliding_window=70)
    weights = random_weights(TOY, torch.float64, "cpu")
    windowed = dataclasses.replace(weights, config=config)
    assert torch.equal(reference_logits(windowed, IDS), reference_logits(weights, IDS))
