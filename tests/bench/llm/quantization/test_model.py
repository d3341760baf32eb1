"""Models quantised by methods that look at activations: layer after layer, with scales folded into the one before."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from attnlab.bench.errors import ModelWarning, UsageError
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.quantization.calibration import FIELDS, ids_to_calibrate, layer_inputs
from attnlab.bench.llm.quantization.choosing import quantisation_method, quantise
from attnlab.bench.llm.quantization.coding import weight_format
from attnlab.bench.llm.quantization.folding import scaled_layer
from attnlab.bench.llm.quantization.model import quantise_model
from attnlab.bench.llm.quantization.recipe import PROJECTIONS, Recipe
from attnlab.bench.llm.quantization.weight import joined, split

CONFIG = dataclasses.replace(PUBLISHED["toy"], qkv_bias=True)


@pytest.fixture(scope="module")
def toy() -> ModelWeights:
    weights = random_weights(CONFIG, torch.float32, "cpu", seed=3)
    for layer in weights.layers:  # a few columns that are large, as in real models
        layer.attention_norm[::9] *= 3.0
        layer.mlp_norm[::7] *= 3.0
        layer.up[::11] *= 3.0
        layer.value[::5] *= 3.0
    return weights


@pytest.fixture(scope="module")
def ids() -> Tensor:
    return ids_to_calibrate("toy", CONFIG, 512)


def test_toy_has_shared_heads() -> None:
    assert CONFIG.q_heads > CONFIG.kv_heads > 1


@pytest.mark.parametrize(("method", "format"), [("awq", "int4_g32"), ("smoothquant", "int8_dynamic")])
def test_folded_scales_leave_the_function_as_it_was(toy: ModelWeights, ids: Tensor, method: str, format: str) -> None:
    inputs = next(iter(layer_inputs(toy, ids, 1)))
    formats: dict[str, str] = dict.fromkeys(PROJECTIONS, format)
    layer, given = scaled_layer(toy.layers[0], formats, quantisation_method(method), inputs, CONFIG)
    for field in ("attention_norm", "mlp_norm", *PROJECTIONS):
        assert not torch.equal(getattr(layer, field), getattr(toy.layers[0], field)), field
    scaled = dataclasses.replace(toy, layers=(layer, *toy.layers[1:]))
    torch.testing.assert_close(reference_logits(scaled, ids), reference_logits(toy, ids), rtol=1e-3, atol=1e-3)
    again = next(iter(layer_inputs(scaled, ids, 1)))
    for kind in FIELDS:
        torch.testing.assert_close(given.of(kind), again.of(kind), rtol=1e-3, atol=1e-4)


def test_a_projection_that_stays_is_scaled_with_those_of_its_input(toy: ModelWeights, ids: Tensor) -> None:
    inputs = next(iter(layer_inputs(toy, ids, 1)))
    layer, _ = scaled_layer(toy.layers[0], {"key": "int4_g32"}, quantisation_method("awq"), inputs, CONFIG)
    assert not torch.equal(layer.query, toy.layers[0].query)
    scaled = dataclasses.replace(toy, layers=(layer, *toy.layers[1:]))
    torch.testing.assert_close(reference_logits(scaled, ids), reference_logits(toy, ids), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("text", ["int4_g32:gptq", "int4_g32:gptq_act_order", "int4_g32:awq", "nf4:awq"])
def test_a_method_brings_logits_nearer_than_nearest_codes(toy: ModelWeights, ids: Tensor, text: str) -> None:
    """On the texts that it was calibrated on: random ids have no others like them."""
    want = reference_logits(toy, ids)
    errors = [
        float((reference_logits(quantise_model(toy, Recipe.read(name), ids), ids) - want).norm())
        for name in (text, text.partition(":")[0])
    ]
    assert errors[0] < 0.95 * errors[1]


def test_a_layer_is_shown_what_the_quantised_ones_before_it_make(toy: ModelWeights, ids: Tensor) -> None:
    made = quantise_model(toy, Recipe.read("int4_g32:gptq"), ids)
    shown = list(layer_inputs(made, ids))[-1]
    other = list(layer_inputs(toy, ids))[-1]
    gptq, format, matrix = quantisation_method("gptq"), weight_format("int4_g32"), toy.layers[-1].query
    found = made.layers[-1].quantized["query"].planes["codes"]
    assert torch.equal(quantise(matrix, format, gptq, shown.attention).weight.planes["codes"], found)
    assert not torch.equal(quantise(matrix, format, gptq, other.attention).weight.planes["codes"], found)


def test_mixed_formats_by_a_calibrated_method(toy: ModelWeights, ids: Tensor) -> None:
    made = quantise_model(toy, Recipe("int8", "awq", "same", {"1": "same", "0.key": "nf4", "0.down": "same"}), ids)
    assert {name: weight.format_name for name, weight in made.layers[0].quantized.items()} == {
        **dict.fromkeys(("query", "value", "output", "gate", "up"), "int8"),
        "key": "nf4",
    }
    assert not made.layers[1].quantized
    assert made.layers[1] is toy.layers[1] or torch.equal(made.layers[1].query, toy.layers[1].query)
    assert reference_logits(made, ids).isfinite().all()


def test_texts_are_asked_for_and_too_few_are_said(toy: ModelWeights) -> None:
    with pytest.raises(UsageError, match="by int4_g32:gptq: method gptq needs texts to be calibrated on"):
        quantise_model(toy, Recipe.read("int4_g32:gptq"))
    with pytest.warns(ModelWarning, match="gptq: 20 tokens of calibration for"):
        quantise_model(toy, Recipe.read("int4_g32:gptq"), torch.arange(20)[None])


def test_sparse_numbers_are_in_the_dtype_of_the_model(toy: ModelWeights) -> None:
    made = quantise_model(toy, Recipe.read("sparse_2_4+sparse_2_4")).in_dtype(torch.bfloat16)
    assert made.quantized_head is not None
    for weight in (*made.layers[0].quantized.values(), made.quantized_head):
        assert weight.planes["codes"].dtype == torch.bfloat16
        assert weight.nbytes == weight.format.nbytes(*weight.shape, torch.bfloat16)


def test_what_is_joined_is_split_again() -> None:
    parts = [quantise(torch.randn(n, 64), weight_format("int4_g32"), quantisation_method("rtn")).weight for n in (2, 3)]
    whole = joined(parts)
    assert whole is not None
    for part, again in zip(parts, split(whole, [2, 3]), strict=True):
        assert again.shape == part.shape
        assert torch.equal(again.dequantised(), part.dequantised())
