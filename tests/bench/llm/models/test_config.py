"""Published configurations have as many parameters as their publishers say, and names serve as axis values."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest
import torch

from attnlab.bench.errors import ModelError, UnknownName
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.rope_scaling import Llama3Scaling
from attnlab.bench.llm.models.sources import canonical, is_path

PARAMETERS = {
    "smollm2_135m": 134_515_008,
    "smollm2_360m": 361_821_120,
    "smollm2_1b7": 1_711_376_384,
    "llama3_8b": 8_030_261_248,
    "llama32_1b": 1_235_814_400,
    "qwen25_7b": 7_615_616_512,
    "mistral_7b": 7_241_732_096,
    "qwen3_8b": 8_190_735_360,
    "gemma2_9b": 9_241_705_984,
    "gemma3_1b": 999_885_952,
}
"""As counted from the publishers' own files."""


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_published_model_has_its_number_of_parameters(name: str) -> None:
    config = PUBLISHED[name]
    assert config.parameters == PARAMETERS[name]
    assert config.weight_bytes("bfloat16") == config.weight_bytes(torch.float16) == 2 * PARAMETERS[name]
    assert config.weight_bytes(torch.float32) == 4 * PARAMETERS[name]
    assert config.source


def test_the_toy_is_counted_by_hand() -> None:
    layer = 2 * 64 * (4 * 16 + 2 * 16) + 3 * 64 * 128 + 2 * 64
    assert PUBLISHED["toy"].parameters == 512 * 64 + 64 + 3 * layer
    untied = dataclasses.replace(PUBLISHED["toy"], tied_embeddings=False, qkv_bias=True)
    assert untied.parameters == 2 * 512 * 64 + 64 + 3 * (layer + 128)


def test_layers_with_a_window_alternate_as_published() -> None:
    assert PUBLISHED["gemma2_9b"].windowed == (True, False) * 21
    whole = [layer for layer in range(26) if PUBLISHED["gemma3_1b"].window_of(layer) is None]
    assert whole == [5, 11, 17, 23]
    assert PUBLISHED["mistral_7b"].windowed == ()
    assert PUBLISHED["mistral_7b"].window_of(31) == 4096


def test_rotary_parameters_are_those_published() -> None:
    assert PUBLISHED["llama32_1b"].rope_of(local=False) == (500_000.0, Llama3Scaling(32.0, 1.0, 4.0, 8192))
    assert PUBLISHED["gemma3_1b"].rope_of(local=True) == (10_000.0, None)
    assert {config.name for config in PUBLISHED.values() if config.rope_scaling} == {
        "llama32_1b",
        "gpt_oss_20b",
        "toy_gpt_oss",
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_survive_an_id_of_a_case(name: str) -> None:
    assert PUBLISHED[name].name == name == canonical(name)
    assert re.fullmatch(r"[a-z0-9_]+", name)
    assert not is_path(name)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("SmolLM2-135M", "smollm2_135m"),
        ("smollm2-1.7b", "smollm2_1b7"),
        ("llama-3.2-1b", "llama32_1b"),
        ("qwen2.5-7b", "qwen25_7b"),
        ("llama-3-8b:random", "llama3_8b"),
        ("smollm2_135m:random", "smollm2_135m:random"),
    ],
)
def test_publishers_spellings_are_one_name(spelling: str, name: str) -> None:
    assert canonical(spelling) == name


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'llama3_8b'"):
        canonical("llama4_8b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kv_heads": 3}, "4 query heads over 3 key-value heads"),
        ({"head_dim": 15}, "even size"),
        ({"layers": 0}, "got layers 0"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        dataclasses.replace(PUBLISHED["toy"], **change)  # type: ignore[arg-type]


def test_configurations_need_no_torch() -> None:
    names = "attnlab.bench.llm.models.config, attnlab.bench.llm.models.sources"
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
