"""What the projections of a model are given, and the texts that it reads for calibration."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.captured.texts import TEXTS, token_ids
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.load import load_tokenizer
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_logits, rms_norm
from attnlab.bench.llm.models.sources import PACKAGED
from attnlab.bench.llm.quantization.calibration import FIELDS, calibration_ids, layer_inputs
from attnlab.bench.llm.quantization.losses import output_error

TOY = PUBLISHED["toy"]


def test_inputs_of_each_layer_are_those_of_the_reference() -> None:
    weights = random_weights(TOY, torch.float32, "cpu", seed=3)
    ids = torch.randint(0, TOY.vocab_size, (2, 9), generator=torch.Generator().manual_seed(0))
    every = list(layer_inputs(weights, ids))
    assert len(every) == TOY.layers
    first, last, layer = every[0], every[-1], weights.layers[-1]
    normed = rms_norm(weights.embedding[ids].flatten(0, 1), weights.layers[0].attention_norm, TOY.norm_eps)
    torch.testing.assert_close(first.attention, normed)
    for kind, fields in FIELDS.items():
        for field in fields:
            assert last.of(kind).shape == (18, getattr(layer, field).shape[1]), field
    gate = last.mlp @ layer.gate.T
    torch.testing.assert_close(last.down, torch.nn.functional.silu(gate) * (last.mlp @ layer.up.T))
    assert len(list(layer_inputs(weights, ids, layers=1))) == 1
    assert reference_logits(weights, ids).isfinite().all()


def test_calibration_texts_are_others_than_the_captured_ones() -> None:
    tokenizer = load_tokenizer(PACKAGED)
    ids = calibration_ids(tokenizer)
    assert ids.shape[0] >= 12
    assert ids.shape[1] == 512
    assert torch.equal(calibration_ids(tokenizer, 1024), ids[[0, -1]])
    windows = {tuple(row[at : at + 32]) for row in ids.tolist() for at in range(480)}
    for text in TEXTS:
        held = token_ids(text).tolist()
        assert not any(tuple(held[at : at + 32]) in windows for at in range(len(held) - 32)), text


@pytest.mark.parametrize("tokens", [0, 511, 1 << 20])
def test_tokens_that_no_texts_have(tokens: int) -> None:
    with pytest.raises(UsageError, match=f"got {tokens} tokens for calibration; expected 512 to"):
        calibration_ids(load_tokenizer(PACKAGED), tokens)


def test_the_error_of_an_output() -> None:
    assert output_error(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 4.0])) == 0.75
    assert output_error(torch.zeros(2), torch.zeros(2)) == 0.0
    assert output_error(torch.ones(2), torch.zeros(2)) == torch.inf
