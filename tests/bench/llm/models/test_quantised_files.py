"""Folders that other programs quantised are refused by the program's name, whether configuration or tensors tell."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench import load_model
from attnlab.bench.errors import ModelError
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.huggingface import save_folder
from attnlab.bench.llm.models.random_weights import random_weights

safetensors = pytest.importorskip("safetensors.torch", reason="package safetensors is not installed")

REMEDY = "take the model that it was made from, and store it in a format here"
Tensors = dict[str, Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    toy = dataclasses.replace(PUBLISHED["toy"], layers=1)
    save_folder(random_weights(toy, torch.float32, "cpu"), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("field", ["quantization_config", "compression_config"])
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True}, "gptq, 4 bits, groups of 128"),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "zero_point": True}, "awq, 4 bits, groups of 64"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bitsandbytes, 4 bits"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "compressed-tensors;"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8;"),
        ({}, "a form without a name;"),
        ("gptq", "gptq;"),
    ],
    ids=["gptq", "awq", "bitsandbytes", "compressed", "fp8", "empty", "text"],
)
def test_a_configuration_names_the_form(folder: Path, field: str, settings: Any, told: str) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: settings}))
    with pytest.raises(ModelError, match=f"config.json: got {field}, {told}.*{REMEDY}"):
        load_model(str(folder))


def gptq(name: str, x: Tensor) -> Tensors:
    base = name.removesuffix(".weight")
    return {f"{base}.qweight": torch.zeros(8, 8, dtype=torch.int32), f"{base}.scales": torch.ones(1, 8)}


def packed(name: str, x: Tensor) -> Tensors:
    return {f"{name}_packed": torch.zeros(8, 8, dtype=torch.int32), f"{name}_scale": torch.ones(8, 1)}


def four_bits(name: str, x: Tensor) -> Tensors:
    return {name: torch.zeros(x.numel() // 2, 1, dtype=torch.uint8), f"{name}.absmax": torch.ones(8)}


def in_blocks(name: str, x: Tensor) -> Tensors:
    return {name: x.to(torch.float8_e4m3fn), f"{name}_scale_inv": torch.ones(1, 1)}


def whole(name: str, x: Tensor) -> Tensors:
    return {name: x.to(torch.int8)}


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (gptq, "qweight, as GPTQ or AWQ stores"),
        (packed, "weight_packed, as compressed-tensors stores"),
        (four_bits, "absmax, as bitsandbytes stores"),
        (in_blocks, "weight_scale_inv, as FP8 in blocks stores"),
        (whole, "is of I8, expected F32, F16 or BF16; of codes,"),
    ],
)
def test_tensors_name_the_program(folder: Path, stored: Callable[[str, Tensor], Tensors], told: str) -> None:
    path = folder / "model.safetensors"
    kept: Tensors = {}
    for name, x in safetensors.load_file(path).items():
        kept |= stored(name, x) if "_proj.weight" in name else {name: x}
    safetensors.save_file(kept, path)
    with pytest.raises(ModelError, match=f"{told}.*{REMEDY}"):
        load_model(str(folder))
