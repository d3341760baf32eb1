"""Sensitivity by layer and a mixture, on a toy: what a layer costs alone is what a whole pass with it changed says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from attnlab.bench.errors import ImpossibleCase, UsageError
from attnlab.bench.llm.caches import format_of
from attnlab.bench.llm.models.load import load_model
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.quality.mixing import (
    MIXED,
    Mixture,
    MixturePlan,
    check_plan,
    layer_bytes,
    mix,
    recipe_of_mixture,
    write_assignment,
)
from attnlab.bench.llm.quality.scoring import right_logs
from attnlab.bench.llm.quality.sensitivity import Trace
from attnlab.bench.llm.quantization.model import quantise_model
from attnlab.bench.llm.quantization.recipe import Recipe

PLAN = MixturePlan(("int4_g32", "int8", "same"), 8.0, "rtn", caches=("int8_token",))


def windows(seed: int) -> torch.Tensor:
    return torch.randint(0, 512, (2, 33), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def toy() -> ModelWeights:
    return load_model("toy")


@pytest.fixture(scope="module")
def mixture(toy: ModelWeights) -> Mixture:
    return mix(toy, PLAN, windows(1), windows(2), lambda line: None)


def test_a_changed_layer_is_what_a_whole_pass_says(toy: ModelWeights) -> None:
    ids = windows(1)
    trace = Trace.of(toy, ids, 32)
    int4 = quantise_model(toy, Recipe("int4_g32"))
    layers = (toy.layers[0], int4.layers[1], toy.layers[2])
    whole = right_logs(dataclasses.replace(toy, layers=layers), ids, 32)
    assert torch.allclose(trace.changed(1, weights=int4.layers[1]).other, whole, atol=1e-5)
    cached = trace.changed(2, cache=format_of("int8_token"))
    assert 0 < cached.kl_mean < 0.1
    assert trace.changed(0).kl_mean == 0.0


def test_the_budget_is_kept_and_the_mixture_is_between(mixture: Mixture, toy: ModelWeights) -> None:
    held = {one.name: one for one in mixture.held_out}
    assert list(held) == [MIXED, *PLAN.formats]
    assert held["int4_g32"].bits == 4.5
    assert held["same"].bits == 16.0
    assert held["same"].found.kl_mean == 0.0
    assert 4.5 < held[MIXED].bits <= 8.0
    assert held["int8"].found.kl_mean < held[MIXED].found.kl_mean < held["int4_g32"].found.kl_mean
    assert mixture.evenly is not None
    assert {(cost.layer, cost.format) for cost in mixture.caches} == {(n, "int8_token") for n in range(3)}


def test_its_file_reads_as_what_was_chosen(mixture: Mixture, tmp_path: Path, toy: ModelWeights) -> None:
    path = tmp_path / "mix.toml"
    write_assignment(recipe_of_mixture(mixture), path, "made by a test")
    recipe = Recipe.read(f"@{path}")
    formats = tuple(recipe.format_of(layer, "down") for layer in range(3))
    assert formats == mixture.assignment.formats
    assert quantise_model(toy, recipe).layers[0].quantized.keys()
    with pytest.raises(UsageError, match="cannot be written"):
        write_assignment(recipe, tmp_path / "nowhere" / "mix.toml", "")


def test_bytes_of_a_layer(toy: ModelWeights) -> None:
    numbers = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128
    assert layer_bytes(toy.config, "same") == 2 * numbers
    assert layer_bytes(toy.config, "int4_g32") == numbers // 2 + 2 * numbers // 32
    assert layer_bytes(toy.config, "int8") == numbers + 4 * (2 * 64 + 2 * 32 + 2 * 128 + 64)


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (MixturePlan(("int4_g32",), 4.0, "rtn"), "budget of 4 bits a weight; expected 4.5 or more, which int4_g32"),
        (MixturePlan((), 4.0, "rtn"), "got no format"),
        (MixturePlan(("int4_g128",), 8.0, "rtn"), "toy in int4_g128 by rtn: .*groups of 128 columns are wider"),
        (MixturePlan(("int8",), float("nan"), "rtn"), "budget of nan bits"),
        (MixturePlan(("int8",), 9.0, "rtn", caches=("int4_g32",)), "its cache in int4_g32: .*head size of 16"),
    ],
)
def test_plans_that_cannot_be_kept(plan: MixturePlan, told: str, toy: ModelWeights) -> None:
    with pytest.raises(UsageError, match=told):
        check_plan(plan, toy.config)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('format = "int8"\n[layers]\n', ImpossibleCase),
        ('format = "int8"\n[layers]\nlast = "int8"\n', ImpossibleCase),
        ('format = "int9"\n', ImpossibleCase),
        ("[layers]\n1 = 'int8'\n", ImpossibleCase),
    ],
)
def test_files_that_assign_nothing_are_refused(text: str, error: type[Exception], tmp_path: Path) -> None:
    path = tmp_path / "mix.toml"
    path.write_text(text)
    with pytest.raises(error):
        Recipe.read(f"@{path}")
