"""A linear layer through torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.bench.llm import quantised
from attnlab.impls import _compile
from attnlab.impls.linear._sums import ask_for_float32

FEW_ROWS = 2  # up to which a generated loop over the weight is faster than a library's product

Linear = Callable[[LinearInputs], Tensor]
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def _sums(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out = (x.float()[:, None] * weight.float()).sum(-1)  # [M, N], fused: no product is stored
    return (out if bias is None else out + bias.float()).to(x.dtype)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return linear(x, weight, bias)


def _of_codes(case: LinearCase, inputs: LinearInputs, product: Product) -> Linear:
    """What the codes stand for, in the generated loop or before the library's product."""
    weight = inputs.quantized
    assert weight is not None
    codec, activations, shape, dtype = weight.format.codec, weight.format.activations, weight.shape, case.torch_dtype

    def multiply(x: Tensor, planes: dict[str, Tensor], bias: Tensor | None) -> Tensor:
        wide = codec.values(*codec.unpack(planes, *shape)).flatten(1)
        if activations == "same":
            return product(x, wide if product is _sums else wide.to(x.dtype), bias)
        out = product(quantised(x, activations, torch.float32), wide, None)
        return (out if bias is None else out + bias).to(dtype)

    weight.dequantised()  # makes tables that a format keeps, which the compiler could not
    function: Any = _compile.compile_whole(multiply)
    return lambda given: function(given.x, weight.planes, given.bias)


@implements("linear", name="compiled", needs=Needs(compiler=True), compiled=True, serves={"format": True})
class Compiled:
    """torch.compile: for one or two rows a generated loop of products and sums, else the library's product."""

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> Linear:
        ask_for_float32(inputs.x.device)
        product = _sums if case.m <= FEW_ROWS else _product
        if inputs.quantized is not None:
            function = _of_codes(case, inputs, product)
        else:
            compiled: Product = _compile.compile_whole(product)
            function = lambda given: compiled(given.x, given.weight, given.bias)  # noqa: E731
        with _compile.refusals():
            function(inputs)  # compiles
        return function

    def run(self, inputs: LinearInputs, function: Linear) -> Tensor:
        return function(inputs)
