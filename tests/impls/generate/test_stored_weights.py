"""Our decoder multiplies by weights as they are stored: every format, mixtures, one memory, and what a pass reads."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.llm.caches import format_of, layout_of
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.quantization.model import quantise_model
from attnlab.bench.llm.quantization.recipe import Recipe
from attnlab.bench.llm.quantization.weight import QuantizedWeight
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.cost import pass_bytes
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.impls.generate._engine.engine import Engine
from attnlab.impls.generate._engine.layer import FusedLayer
from attnlab.impls.generate._engine.parts import QUICK_ON_CPU, Parts
from attnlab.impls.generate.naive import Naive

IDS = torch.randint(0, 512, (2, 24), generator=torch.Generator().manual_seed(2))
MIXED = Recipe("int8", head="int4_g32", layers={"0.query": "same", "1": "int4_g32_asym", "2.up": "fp8_e4m3_row"})


def stored(recipe: Recipe, model: str = "toy") -> ModelWeights:
    return quantise_model(random_weights(PUBLISHED[model], torch.float32, "cpu", seed=3), recipe).joined()


def engine_of(weights: ModelWeights, parts: Parts) -> Engine:
    return Engine(weights, parts, layout_of("contiguous_bhsd"), format_of("same"), batch=2, capacity=24)


@pytest.mark.parametrize(
    ("parts", "recipe"),
    [
        *(
            (Parts(), Recipe(name))
            for name in ("int8", "int8_dynamic", "int4_g64_asym", "nf4", "int1_58", "sparse_2_4")
        ),
        *((QUICK_ON_CPU, Recipe(name, head=name)) for name in ("int8_dynamic", "int4_g32_asym", "mxfp4")),
        (QUICK_ON_CPU, MIXED),
    ],
    ids=lambda value: "quick" if value is QUICK_ON_CPU else "naive" if isinstance(value, Parts) else str(value),
)
def test_every_step_is_as_in_the_reference(parts: Parts, recipe: Recipe) -> None:
    weights = stored(recipe)
    expected = reference_logits(weights, IDS, torch.float64)
    # a code of activations may fall to either side of a boundary, by how sums before it were rounded
    rounds = any(layer.activations for layer in weights.layers)
    allowed = 1e-4 + (0.05 * float(expected.std()) if rounds else 0.0)
    made = engine_of(weights, parts)
    assert (made.prefill(IDS[:, :20]) - expected[:, 19]).abs().max() < allowed
    for place in (20, 21):
        assert (made.decode(IDS[:, place : place + 1])[:, 0] - expected[:, place]).abs().max() < allowed


def test_norms_of_heads_stay_where_they_are() -> None:
    weights = stored(Recipe("int8"), "toy_qwen3")
    expected = reference_logits(weights, IDS, torch.float64)
    assert (engine_of(weights, QUICK_ON_CPU).prefill(IDS) - expected[:, -1]).abs().max() < 1e-4


def test_projections_of_one_input_are_one_product_in_one_memory() -> None:
    weights = stored(Recipe("int4_g32_asym"))
    layer = weights.layers[0]
    fused = FusedLayer.fuse(layer)
    (qkv,), (gate_up,) = fused.qkv.weights, fused.gate_up.weights
    assert isinstance(qkv, QuantizedWeight)
    assert isinstance(gate_up, QuantizedWeight)
    for name, plane in qkv.planes.items():
        assert plane.data_ptr() == layer.quantized["query"].planes[name].data_ptr()
    for name, plane in gate_up.planes.items():
        assert plane.data_ptr() == layer.quantized["gate"].planes[name].data_ptr()
    dense = torch.cat([layer.quantized[name].dequantised() for name in ("query", "key", "value")])
    assert torch.equal(qkv.dequantised(), dense)


def test_what_is_stored_apart_is_multiplied_apart() -> None:
    fused = [FusedLayer.fuse(layer) for layer in stored(MIXED).layers]
    assert [len(layer.qkv.weights) for layer in fused[:3]] == [3, 1, 1]
    assert [len(layer.gate_up.weights) for layer in fused[:3]] == [1, 1, 2]
    assert len(FusedLayer.fuse(stored(Recipe("nf4")).layers[0]).qkv.weights) == 3  # whose rows are not apart


@pytest.mark.parametrize("recipe", ["same", "int8", "int4_g32_asym+int8", "int4_g64", "nf4+int8"])
def test_a_pass_reads_what_is_stored(recipe: str) -> None:
    dense = random_weights(PUBLISHED["toy"], torch.bfloat16, "cpu", seed=0)
    weights = dense if recipe == "same" else quantise_model(dense, Recipe.read(recipe)).joined()
    made = engine_of(weights, Parts())
    made.prefill(IDS)
    read = made.passes()[0].read_bytes
    assert weights.pass_nbytes == pass_bytes(PUBLISHED["toy"], torch.bfloat16, recipe)
    assert read is not None
    assert weights.pass_nbytes < read < weights.pass_nbytes + 24 * 2 * 2048


def test_parts_that_do_not_serve_a_format_leave_it_to_the_one_that_does() -> None:
    for format, part in (("same", "linear"), ("int8", "linear"), ("nf4", "other_linear")):
        case = LinearCase(m=1, n=64, k=64, format=format)
        assert QUICK_ON_CPU.linear_for(case, "linear") == part


def test_the_packaged_precision_is_refused_in_words() -> None:
    case = GenerateCase.parse("summarise-fp16-w_q4_1")
    assert "int4_g32_asym+int8 stores the same codes" in str(Naive().supports(case))
