"""Weights as a file holds them: what products with them round, and the bytes that a pass reads."""

from __future__ import annotations

import pytest
import torch

from attnlab.bench.errors import ImpossibleCase, ModelUnavailable, UnknownName
from attnlab.bench.llm.generation.stored import file_bytes, rounded_to_codes, rounding
from attnlab.bench.llm.models.config import PUBLISHED
from attnlab.bench.llm.models.gguf_file import GgufFile
from attnlab.bench.llm.models.packaged import find_model
from attnlab.bench.llm.models.random_weights import random_weights
from attnlab.bench.llm.models.reference import reference_logits, rms_norm
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.cost import bytes_moved, pass_bytes

SMOLLM2 = PUBLISHED["smollm2_135m"]
BLOCK_BYTES = {0: (1, 4), 3: (32, 20), 8: (32, 34)}  # float32, Q4_1, Q8_0: values and bytes


def test_activations_become_codes_of_eight_bits_over_32_channels() -> None:
    exact = torch.tensor([[127.0, -64.0, 3.0, *[0.0] * 29, 0.0, *[0.0] * 31]])
    assert torch.equal(rounded_to_codes(exact), exact)
    x = torch.randn(4, 96, generator=torch.Generator().manual_seed(0))
    x[0, 40] = 50.0
    steps = x.unflatten(-1, (3, 32)).abs().amax(-1, keepdim=True) / 127
    off = (rounded_to_codes(x) - x).abs().unflatten(-1, (3, 32))
    assert (off <= 0.5 * steps + 127 * steps * 2**-11).all()
    assert off.max() > 0.45 * steps.max()
    assert rounded_to_codes(x.bfloat16()).dtype == torch.bfloat16


def test_the_reference_rounds_in_every_product() -> None:
    weights = random_weights(PUBLISHED["toy"], torch.float32, "cpu", 0)
    ids = torch.arange(20)[None]
    widths: list[int] = []

    def watched(x: torch.Tensor) -> torch.Tensor:
        widths.append(x.shape[-1])
        return x

    plain = reference_logits(weights, ids)
    assert torch.equal(reference_logits(weights, ids, rounded=watched), plain)
    assert widths == [64, 64, 64, 128] * 3 + [64]  # of a layer: q, k and v; output; gate and up; down; then the head
    off = (reference_logits(weights, ids, rounded=rounding("q4_1")) - plain).abs().max()
    assert 0 < off < 0.2 * plain.std()


def test_float16_norms_do_not_overflow() -> None:
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0)) * 3000  # whose squares are beyond 65,504
    weight = torch.ones(64)
    normed = rms_norm(x.half(), weight.half(), 1e-5)
    assert normed.dtype == torch.float16
    assert (normed - rms_norm(x, weight, 1e-5)).abs().max() < 5e-3
    assert rms_norm(x.double(), weight.double(), 1e-5).dtype == torch.float64


def test_bytes_of_a_pass_over_the_file() -> None:
    layers, table, norms = 106_168_320, 28_311_552, 35_136
    assert file_bytes(SMOLLM2) == layers * 20 // 32 + table * 34 // 32 + norms * 4 == 96_576_768
    assert pass_bytes(SMOLLM2, torch.float32, "q4_1") == 96_576_768
    assert pass_bytes(SMOLLM2, torch.float32) == 4 * (layers + table + norms)
    case = GenerateCase(prompt_len=8, new_tokens=3, dtype="float16", weights="q4_1")
    cached = 30 * 2 * 3 * 64 * 2 * (9 + 10)
    assert bytes_moved(case) == 3 * 96_576_768 + cached + 11 * 8


def test_the_file_holds_what_is_counted() -> None:
    try:
        tensors = GgufFile(find_model()).header.tensors.values()
    except ModelUnavailable as error:
        pytest.skip(str(error))
    sizes = [(torch.Size(t.shape).numel(), *BLOCK_BYTES[t.quantisation]) for t in tensors]
    assert sum(count // values * size_bytes for count, values, size_bytes in sizes) == file_bytes(SMOLLM2)


def test_only_the_packaged_model_has_such_weights() -> None:
    case = GenerateCase(dtype="float16", weights="q4_1")
    assert case.id == "summarise-fp16-w_q4_1"
    assert GenerateCase.parse(case.id) == case
    with pytest.raises(ImpossibleCase, match="expected smollm2_135m, whose file holds such"):
        GenerateCase(model="toy", prompts="random", weights="q4_1")
    with pytest.raises(UnknownName, match="unknown weight format 'int3'"):
        GenerateCase(weights="int3")
