"""Quantised models are worked out once: the second is the first to the bit, and nothing else is taken for it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attnlab.bench.errors import ModelWarning
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_logits
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.bench.llm.quantization import kept_models
from attnlab.bench.llm.quantization.calibration import ids_to_calibrate
from attnlab.bench.llm.quantization.kept_models import quantised_model
from attnlab.bench.llm.quantization.recipe import Recipe

CONFIG = dataclasses.replace(PUBLISHED["toy"], qkv_bias=True)
MIXED = Recipe("int4_g32", "awq", "int8", {"0.value": "same", "0.up": "same", "1": "int8"})


@pytest.fixture(scope="module")
def toy() -> ModelWeights:
    return random_weights(CONFIG, torch.float32, "cpu", seed=3)


@pytest.fixture(scope="module")
def ids() -> Tensor:
    return ids_to_calibrate("toy", CONFIG, 512)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kept_models, "LEAST_BYTES", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield tmp_path / "attnlab" / "quantised"


def never(*_: object) -> ModelWeights:
    raise AssertionError("was worked out again")


@pytest.mark.parametrize("recipe", [MIXED, Recipe("int8_dynamic", "smoothquant"), Recipe("nf4", "gptq_act_order")])
def test_what_is_kept_comes_back_to_the_bit(
    recipe: Recipe, toy: ModelWeights, ids: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = quantised_model(toy, recipe, ids)
    monkeypatch.setattr(kept_models, "quantise_model", never)
    again = quantised_model(toy, recipe, ids)
    assert torch.equal(reference_logits(again, ids[:1]), reference_logits(first, ids[:1]))
    assert (again.fingerprint, again.nbytes) == (first.fingerprint, first.nbytes)
    for one, other in zip(first.layers, again.layers, strict=True):
        assert one.quantized.keys() == other.quantized.keys()
        assert (one.activations, one.dense.keys()) == (other.activations, other.dense.keys())
        assert all(torch.equal(x, other.dense[field]) for field, x in one.dense.items())


def test_another_recipe_of_layers_text_or_model_is_another_file(toy: ModelWeights, ids: Tensor, cache: Path) -> None:
    quantised_model(toy, MIXED, ids)
    quantised_model(toy, dataclasses.replace(MIXED, head="same"), ids)  # layers are the same
    assert len(list(cache.iterdir())) == 1
    quantised_model(toy, dataclasses.replace(MIXED, layers={"1": "int8"}), ids)
    quantised_model(toy, MIXED, ids.flip(1))
    quantised_model(dataclasses.replace(toy, origin="other"), MIXED, ids)
    assert len(list(cache.iterdir())) == 4


def test_nearest_codes_and_small_models_are_not_kept(
    toy: ModelWeights, ids: Tensor, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantised_model(toy, Recipe("int8"))
    monkeypatch.setattr(kept_models, "LEAST_BYTES", 1 << 40)
    quantised_model(toy, MIXED, ids)
    assert not cache.exists()


@pytest.mark.parametrize("harm", ["cut", "no tensors", "a plane lost", "a plane of another shape", "a stranger's"])
def test_a_damaged_or_foreign_file_is_passed_over(harm: str, toy: ModelWeights, ids: Tensor, cache: Path) -> None:
    first = quantised_model(toy, MIXED, ids)
    (path,) = cache.iterdir()
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif harm == "no tensors":
        torch.save([1, 2], path)
    else:
        kept = torch.load(path, weights_only=True)
        if harm == "a plane lost":
            del kept["0.down.codes"]
        elif harm == "a plane of another shape":
            kept["0.down.codes"] = kept["0.down.codes"][1:]
        else:
            kept["0.rotary"] = torch.ones(2)
        torch.save(kept, path)
    with pytest.warns(UserWarning, match="passed over a damaged cache file"):
        again = quantised_model(toy, MIXED, ids)
    assert torch.equal(reference_logits(again, ids[:1]), reference_logits(first, ids[:1]))
    quantised_model(toy, MIXED, ids)  # is written anew: no warning


def test_what_warns_is_not_kept(toy: ModelWeights, cache: Path) -> None:
    few = ids_to_calibrate("toy", CONFIG, 32)[:, :32]
    for _ in range(2):
        with pytest.warns(ModelWarning, match="take more texts"):
            quantised_model(toy, Recipe("int4_g32", "gptq"), few)
    assert not cache.exists()


def test_the_oldest_make_room(toy: ModelWeights, ids: Tensor, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quantised_model(toy, MIXED, ids)
    (first,) = cache.iterdir()
    monkeypatch.setattr(kept_models, "MOST_KEPT_BYTES", first.stat().st_size + 1)
    quantised_model(toy, MIXED, ids.flip(1))
    (second,) = cache.iterdir()
    assert second != first


def test_a_folder_that_cannot_be_written_costs_nothing_else(toy: ModelWeights, ids: Tensor, tmp_path: Path) -> None:
    (tmp_path / "attnlab").write_text("a file")
    with pytest.warns(UserWarning, match="not kept for next time"):
        quantised_model(toy, MIXED, ids)
