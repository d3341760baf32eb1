"""A quantised linear layer in eager PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from attnlab.bench import LinearCase, LinearInputs, implements
from attnlab.bench.llm import quantised
from attnlab.impls.linear._codes import coded, only_formats, with_bias
from attnlab.impls.linear._sums import ask_for_float32


@implements("linear", name="dequantised", serves={"format": True})
class Dequantised:
    """Eager: in each call the codes become numbers, which PyTorch's own product multiplies."""

    def supports(self, case: LinearCase) -> str | None:
        return only_formats(case)

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> None:
        ask_for_float32(inputs.x.device)

    def run(self, inputs: LinearInputs, state: None) -> Tensor:
        weight = coded(inputs)
        if weight.format.activations == "same":
            return linear(inputs.x, weight.dequantised(inputs.x.dtype), inputs.bias)
        x = quantised(inputs.x, weight.format.activations, torch.float32)
        return with_bias(x @ weight.dequantised().mT, inputs)
