"""A linear layer with int8 and int4 weights by GemLite's Triton kernels."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls._dtypes import dtype_limits
from attnlab.impls.linear._codes import ZERO, coded, int4_codes, only_formats, scales

SYMMETRIC = ("int4_g32", "int4_g64", "int4_g128")
COLUMNS = 32  # of which both sides of the weight are multiples


@implements(
    "linear",
    name="gemlite",
    needs=Needs(device="cuda", capability=(8, 0), packages=("gemlite",)),
    serves={"format": ("int8", *SYMMETRIC)},
    unverified="gemlite 0.6.0.post2, helper.A16W8_INT8(…).from_weights(codes, bias, scales), "
    "helper.A16W4_HQQ_INT(…).from_weights(codes, scales, zeros, bias)",
)
class GemLite:
    """GemLite's layers for 16-bit activations, packed in set-up; it searches its tiles at the first call.

    Of asymmetric groups it has a zero point, and ours a minimum, which is none where a scale is 0: they are left out.
    """

    def supports(self, case: LinearCase) -> str | None:
        if case.n % COLUMNS or case.k % COLUMNS:
            return f"N={case.n}, K={case.k} is not served: multiples of {COLUMNS} only"
        return only_formats(case) or dtype_limits(case.dtype)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> Any:
        helper = importlib.import_module("gemlite.helper")
        weight, made = coded(inputs), {"device": str(inputs.x.device), "dtype": inputs.x.dtype}
        if case.format == "int8":
            layer = helper.A16W8_INT8(**made).from_weights(weight.planes["codes"], inputs.bias, scales(weight))
        else:
            scale = scales(weight, inputs.x.dtype)
            zeros = torch.full_like(scale, ZERO)
            layer = helper.A16W4_HQQ_INT(**made).from_weights(int4_codes(weight), scale, zeros, inputs.bias)
        layer(inputs.x)  # compiles, and searches
        return layer

    def run(self, inputs: LinearInputs, layer: Any) -> Tensor:
        out: Tensor = layer(inputs.x)
        return out
