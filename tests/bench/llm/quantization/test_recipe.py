"""Recipes: how they are written, what they refuse, what they cost, and models that are stored by one."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from attnlab.bench.errors import ImpossibleCase, UnknownName, UsageError
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.quantization.model import quantise_model
from attnlab.bench.llm.quantization.recipe import PROJECTIONS, Recipe
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.cost import input_bytes, pass_bytes

SMOLLM2 = PUBLISHED["smollm2_135m"]
IDS = torch.tensor([[5, 3, 11, 7, 2, 13, 1]])


@pytest.fixture(scope="module")
def toy():
    return load_model("toy", torch.float32)


@pytest.mark.parametrize("text", ["int8", "int4_g32:rtn+int8", "same+int8", "int4_g64_asym"])
def test_a_recipe_is_read_back(text: str) -> None:
    assert Recipe.read(str(Recipe.read(text))) == Recipe.read(text)


@pytest.mark.parametrize("text", ["", "int4_g32:", "int4_g32+", "+int8", ":rtn"])
def test_what_is_no_recipe(text: str) -> None:
    with pytest.raises(ImpossibleCase, match="FORMAT"):
        Recipe.read(text)


@pytest.mark.parametrize("text", ["same:gptq", "same:awq+int8"])
def test_a_method_that_has_nothing_to_choose(text: str) -> None:
    with pytest.raises(ImpossibleCase, match=f"got '{re.escape(text)}', of which .* chooses nothing"):
        Recipe.read(text)


def test_names_that_nobody_has() -> None:
    with pytest.raises(UnknownName, match="weight format 'int9'; did you mean 'int8'"):
        Recipe.read("int9")
    with pytest.raises(UnknownName, match="quantisation method 'rtx'"):
        Recipe.read("int8:rtx")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("int4_g128", r"query of layer 0, \[576, 576\]: K=576 is no multiple of a group's 128 columns"),
        ("fp8_e4m3", "take fp8_e4m3_row"),
        ("same+int4_g128", r"the head, \[49152, 576\]: K=576"),
    ],
)
def test_what_a_model_cannot_be_stored_as(text: str, said: str) -> None:
    with pytest.raises(ImpossibleCase, match=f"got weights=.*{said}"):
        GenerateCase(weights=text)


def test_an_id_holds_a_recipe() -> None:
    case = GenerateCase(weights="int4_g32:rtn+int8")
    assert case.id == "summarise-bf16-w_int4_g32+int8"
    assert GenerateCase.parse(case.id) == case
    assert GenerateCase(weights="same:rtn") == GenerateCase()


def assignment(folder: Path, text: str) -> Path:
    path = folder / "mix.toml"
    path.write_text(text)
    return path


def test_an_assignment_of_a_file(tmp_path: Path, toy) -> None:
    path = assignment(tmp_path, 'format = "int4_g32"\nhead = "int8"\n[layers]\n"0" = "int8"\n"1.down" = "same"\n')
    recipe = Recipe.read(f"@{path}")
    assert recipe.format_of(0, "up") == "int8"
    assert [recipe.format_of(1, name) for name in ("down", "up")] == ["same", "int4_g32"]
    made = quantise_model(toy, recipe)
    assert set(made.layers[1].quantized) == set(PROJECTIONS) - {"down"}
    assert made.layers[0].quantized["key"].format_name == "int8"
    assert made.quantized_head is not None
    case = GenerateCase(weights=str(path))
    assert GenerateCase.parse(case.id) == case
    assert case.files() == {"weights": path}
    assert case.recipe == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "got no format"),
        ('format = "int8"\nlayer = 3\n', "got keys layer; expected format"),
        ('format = "int8"\nlayers = 3\n', "layers that are no table"),
        ('format = "int8"\n[layers]\n', "a table `layers` that names none"),
        ('format = "int8"\n[layers]\n"first" = "int8"\n', "got the layer 'first'"),
        ('format = "int8"\n[layers]\n"3.head" = "int8"\n', "got the layer '3.head'"),
        ('format = "int8"\n[layers]\n"3" = "int9"\n', "unknown weight format 'int9'"),
        ("format = int8\n", ":1: not TOML"),
        ('format = "int8"\n[layers]\n"00" = "same"\n', "got the layer '00'"),
        ('format = "int8"\n[layers]\n"\u0661" = "same"\n', "got the layer '\u0661'"),
        ('format = "int8"\n[layers]\n0.down = "same"\n', 'for 0; expected a name in quotes; .*"0.down"'),
        ("format = 4\n", "mix.toml: got 4 for format; expected a name in quotes"),
        ('format = "int8"\nmethod = true\n', "got True for method; expected a name in quotes"),
        ('format = "int8:gptq"\n', "mix.toml: got format = 'int8:gptq': unknown weight format"),
    ],
)
def test_what_is_no_assignment(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Recipe.read(f"@{assignment(tmp_path, text)}")


def test_a_layer_that_the_model_has_not(tmp_path: Path) -> None:
    path = assignment(tmp_path, 'format = "int8"\n[layers]\n"30" = "same"\n')
    with pytest.raises(ImpossibleCase, match="layer 30 is assigned a format; smollm2_135m has layers 0 to 29"):
        GenerateCase(weights=str(path))


def test_bytes_of_a_pass_by_hand() -> None:
    h, i, kv, layers, vocabulary = 576, 1536, 192, 30, 49152
    rows = h + 2 * kv + h + 2 * i  # whose inputs are h wide; down has h rows of i
    codes = layers * (rows * h + h * i)
    norms = (2 * layers + 1) * h
    assert pass_bytes(SMOLLM2, torch.bfloat16) == 2 * (codes + norms + vocabulary * h)
    scales = layers * 4 * (rows + h)
    assert pass_bytes(SMOLLM2, torch.bfloat16, "int8") == codes + scales + 2 * (norms + vocabulary * h)
    assert pass_bytes(SMOLLM2, torch.float32, "int4_g32+int8") == (
        codes // 2 + codes // 16 + 4 * norms + vocabulary * (h + 4)
    )


def test_the_reference_reads_what_is_stored(toy) -> None:
    want = reference_logits(toy, IDS, torch.float64)
    off = {text: reference_logits(quantise_model(toy, Recipe.read(text)), IDS, torch.float64) - want for text in TEXTS}
    sizes = [float(x.square().mean().sqrt() / want.std()) for x in off.values()]
    assert all(size > 0 for size in sizes)
    assert sizes == sorted(sizes)
    assert sizes[-1] < 0.5


TEXTS = ("same+int8", "int8+int8", "int8_dynamic+int8_dynamic", "int4_g32+int4_g32")


def test_values_are_those_of_the_codes(toy) -> None:
    made = quantise_model(toy, Recipe.read("int8+int8")).in_dtype(torch.bfloat16).joined()
    assert made.dtype == torch.bfloat16
    layer = made.layers[0]
    assert layer.down.isnan().all()
    assert made.head.isnan().all()
    assert torch.equal(layer.to("cpu", torch.float32).down, layer.quantized["down"].dequantised())
    assert layer.to("cpu", torch.float32).nbytes > layer.nbytes
    assert made.nbytes < toy.nbytes
    kept = dataclasses.replace(toy, layers=toy.layers[:1])
    assert kept.nbytes < toy.nbytes


def test_a_weight_that_is_nan(toy) -> None:
    up = toy.layers[0].up.clone()
    up[0, 0] = torch.nan
    broken = dataclasses.replace(toy, layers=(dataclasses.replace(toy.layers[0], up=up), *toy.layers[1:]))
    with pytest.raises(UsageError, match="1 numbers are NaN or infinite"):
        quantise_model(broken, Recipe.read("int8"))


def test_inputs_are_as_large_as_they_are_stored() -> None:
    plain, small = (input_bytes(GenerateCase(weights=text)) for text in ("same", "int4_g32+int8"))
    table = SMOLLM2.vocab_size * SMOLLM2.hidden_size * 2
    stored = pass_bytes(SMOLLM2, torch.bfloat16, "int4_g32+int8") + table
    assert plain - small == SMOLLM2.weight_bytes(torch.bfloat16) - stored > 0
