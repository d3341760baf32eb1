"""A linear layer by PyTorch's own function: the baseline."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from attnlab.bench import LinearCase, LinearInputs, implements
from attnlab.impls.linear._sums import ask_for_float32


@implements("linear", name="naive")
class Naive:
    """torch.nn.functional.linear on the weight as it lies: oneDNN or MKL on a CPU, cuBLAS on a GPU."""

    def prepare(self, case: LinearCase, inputs: LinearInputs) -> None:
        ask_for_float32(inputs.x.device)

    def run(self, inputs: LinearInputs, state: None) -> Tensor:
        return linear(inputs.x, inputs.weight, inputs.bias)
