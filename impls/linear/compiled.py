"""A linear layer through torch.compile."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import linear

from attnlab.bench import LinearCase, LinearInputs, Needs, implements
from attnlab.impls import _compile
from attnlab.impls.linear._sums import ask_for_float32

FEW_ROWS = 2  # up to which a generated loop over the weight is faster than a library's product

Linear = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def _sums(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out = (x.float()[:, None] * weight.float()).sum(-1)  # [M, N], fused: no product is stored
    return (out if bias is None else out + bias.float()).to(x.dtype)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return linear(x, weight, bias)


@implements("linear", name="compiled", needs=Needs(compiler=True), compiled=True)
class Compiled:
    """torch.compile: for one or two rows a generated loop of products and sums, else the library's product."""

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> Linear:
        ask_for_float32(inputs.x.device)
        function: Linear = _compile.compile_whole(_sums if case.m <= FEW_ROWS else _product)
        function(inputs.x, inputs.weight, inputs.bias)  # compiles
        return function

    def run(self, inputs: LinearInputs, function: Linear) -> Tensor:
        return function(inputs.x, inputs.weight, inputs.bias)
