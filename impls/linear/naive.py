"""A linear layer by PyTorch's own function: the baseline."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from attnlab.bench import implements
from attnlab.bench.ops.linear import LinearInputs


@implements("linear", name="naive")
def naive(inputs: LinearInputs) -> Tensor:
    """torch.nn.functional.linear on the weight as it lies: oneDNN or MKL on a CPU, cuBLAS on a GPU."""
    return linear(inputs.x, inputs.weight, inputs.bias)
