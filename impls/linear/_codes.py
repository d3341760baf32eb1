"""Planes of quantised weights as libraries want them, and what becomes of rows of x before them."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs
from attnlab.bench.llm import QuantizedWeight, activation_codes

INT4 = tuple(f"int4_g{size}{kind}" for size in (32, 64, 128) for kind in ("", "_asym"))
FP8 = ("fp8_e4m3", "fp8_e4m3_row")
ZERO = 8  # the code that is in the middle
WITHOUT_FORMAT = "a weight in the dtype is not served: this is for formats"


def only_formats(case: LinearCase) -> str | None:
    """Why a case without a format is refused."""
    return WITHOUT_FORMAT if case.stored_as is None else None


def coded(inputs: LinearInputs) -> QuantizedWeight:
    """The weight of a case with a format."""
    if inputs.quantized is None:
        raise ValueError(f"got a weight {list(inputs.weight.shape)} in the dtype; expected one with codes")
    return inputs.quantized


def group_size(weight: QuantizedWeight) -> int:
    """Columns that share a scale."""
    return weight.shape[1] // weight.planes["scale"].shape[1]


def scales(weight: QuantizedWeight, dtype: torch.dtype = torch.float32) -> Tensor:
    return weight.planes["scale"].to(dtype)


def int4_codes(weight: QuantizedWeight) -> Tensor:
    """Codes 0 to 15 of int4 formats, uint8 [N, K], in the order of the columns."""
    codes, _ = weight.format.codec.unpack(weight.planes, *weight.shape)
    return codes.flatten(1)


def middles(weight: QuantizedWeight) -> Tensor:
    """What the code 8 stands for in int4 formats, float32 [N, K / group]."""
    scale = scales(weight)
    return weight.planes["minimum"].float() + ZERO * scale if "minimum" in weight.planes else torch.zeros_like(scale)


def tokens(inputs: LinearInputs) -> tuple[Tensor, Tensor]:
    """Codes of x and their scale, by the rule of the weight's format."""
    return activation_codes(inputs.x, coded(inputs).format.activations)


def with_bias(out: Tensor, inputs: LinearInputs) -> Tensor:
    """Sums [M, N] plus the bias, in x's dtype."""
    return (out if inputs.bias is None else out + inputs.bias).to(inputs.x.dtype)
