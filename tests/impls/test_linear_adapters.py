"""Adapters to packages that are not here hand over codes and scales as those packages document them.

Stand-ins of plain torch take the package's place: they read the documented layout, and what comes out is checked as
any implementation is.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.bench.contract.registry import discover
from attnlab.bench.llm.quantization.formats.nf4 import NF4
from attnlab.bench.ops.linear.case import LinearCase
from attnlab.bench.ops.linear.inputs import make_inputs

CPU = torch.device("cpu")


def module(name: str, monkeypatch: pytest.MonkeyPatch, **content: Any) -> None:
    made = ModuleType(name)
    vars(made).update(content)
    monkeypatch.setitem(sys.modules, name, made)


def product(name: str, case_id: str) -> tuple[Tensor, Tensor]:
    """What the implementation gives, and what the codes stand for gives in float64."""
    case = LinearCase.parse(case_id)
    inputs = make_inputs(case, "drawn", 0, CPU)
    made = discover().implementations("linear").get(name)
    assert made.supports(case) is None
    out = made.run(inputs, made.prepare(case, inputs))
    assert inputs.quantized is not None
    expected = inputs.x.double() @ inputs.quantized.dequantised(torch.float64).T
    return out, expected if inputs.bias is None else expected + inputs.bias.double()


def assert_near(found: tuple[Tensor, Tensor]) -> None:
    out, expected = found
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.double(), expected, rtol=4e-3, atol=4e-3)


class GemLiteLayer:
    """w = (code - zero) · scale, scales [N, K / group]; of int8 w = code · scale, [N, 1]."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def linear(self, weight: Tensor, bias: Tensor | None) -> Any:
        return lambda x: torch.nn.functional.linear(x.float(), weight, None if bias is None else bias.float()).to(
            x.dtype
        )


class Int8Layer(GemLiteLayer):
    def from_weights(self, codes: Tensor, bias: Tensor | None, scales: Tensor) -> Any:
        assert codes.dtype == torch.int8
        return self.linear(codes.float() * scales.float(), bias)


class Int4Layer(GemLiteLayer):
    def from_weights(self, codes: Tensor, scales: Tensor, zeros: Tensor, bias: Tensor | None) -> Any:
        group = codes.numel() // scales.numel()
        spread = [x.float().repeat_interleave(group, 1) for x in (scales, zeros)]
        return self.linear((codes.float() - spread[1]) * spread[0], bias)


@pytest.mark.parametrize("case_id", ["M3-N64-K128-fp16-bias-f_int8", "M3-N64-K128-fp16-bias-f_int4_g32"])
def test_gemlite(case_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module("gemlite.helper", monkeypatch, A16W8_INT8=Int8Layer, A16W4_HQQ_INT=Int4Layer)
    assert_near(product("gemlite", case_id))


def test_marlin(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPTQ's layout: nibble j of word r is row 8 r + j of the weight turned, and a code stands for itself less 8."""
    uint4b8 = object()

    def repack(words: Tensor, order: Tensor, k: int, n: int, bits: int) -> Tensor:
        assert (words.dtype, tuple(words.shape), bits, order.numel()) == (torch.int32, (k // 8, n), 4, 0)
        return torch.stack([words >> 4 * nibble & 15 for nibble in range(8)], 1).reshape(k, n)

    def apply(
        x: Tensor, codes: Tensor, scale: Tensor, *rest: Any, is_k_full: bool, bias: Any, use_fp32_reduce: bool
    ) -> Tensor:
        *_, kind, n, k = rest
        assert (kind, n, k, is_k_full, use_fp32_reduce) == (uint4b8, codes.shape[1], codes.shape[0], True, True)
        weight = (codes.float() - 8) * scale.float().repeat_interleave(k // scale.shape[0], 0)
        return (x.float() @ weight + bias.float()).to(x.dtype)

    module("vllm._custom_ops", monkeypatch, gptq_marlin_repack=repack)
    module("vllm.scalar_type", monkeypatch, scalar_types=SimpleNamespace(uint4b8=uint4b8))
    module(
        "vllm.model_executor.layers.quantization.utils.marlin_utils",
        monkeypatch,
        marlin_permute_scales=lambda scale, k, n, group: scale,
        marlin_permute_bias=lambda bias: bias,
        marlin_make_workspace_new=lambda device: torch.zeros(1),
        apply_gptq_marlin_linear=apply,
    )
    assert_near(product("marlin", "M3-N64-K256-fp16-bias-f_int4_g64"))


def test_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two codes a byte, the first in the high bits; scales of blocks of 64 in the order of the rows."""
    table = torch.tensor(NF4.numbers)

    def multiply(x: Tensor, packed: Tensor, state: Any, bias: Tensor | None) -> Tensor:
        flat = packed.flatten()
        codes = torch.stack([flat >> 4, flat & 15], 1).flatten().long()
        weight = (state.code[codes].view(-1, state.blocksize) * state.absmax[:, None]).view(state.shape)
        return torch.nn.functional.linear(x.float(), weight, None if bias is None else bias.float()).to(x.dtype)

    functional = SimpleNamespace(QuantState=SimpleNamespace, get_4bit_type=lambda kind, device: table)
    module("bitsandbytes", monkeypatch, functional=functional, matmul_4bit=multiply)
    assert_near(product("bitsandbytes", "M3-N64-K256-fp16-bias-f_nf4"))


def test_torchao(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(codes: Tensor, scale: Tensor, block: list[int], dtype: torch.dtype) -> Tensor:
        assert (codes.dtype, block) == (torch.int8, [1, codes.shape[1]])
        return codes.to(dtype) * scale

    name = "torchao.quantization.quantize_.workflows.int8.int8_tensor"
    module(name, monkeypatch, Int8Tensor=made)
    assert_near(product("torchao", "M3-N64-K256-fp16-bias-f_int8"))


def test_each_says_what_it_needs_or_was_not_run_with() -> None:
    known = {one.name: one for one in discover().implementations("linear")}
    assert {name for name, one in known.items() if one.unverified} == {"int4pack", "gemlite", "marlin"}
    assert known["torchao"].needs.packages == ("torchao",)
    assert known["bitsandbytes"].needs.packages == ("bitsandbytes",)
