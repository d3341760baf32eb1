"""SwiGLU in two of PyTorch's own kernels."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import silu

from attnlab.bench import SwigluInputs, implements


@implements("swiglu", name="torch")
def by_torch(inputs: SwigluInputs) -> Tensor:
    """silu and a product in place, both in x's dtype: half precision is rounded twice."""
    gate, up = inputs.x.chunk(2, dim=-1)
    return silu(gate).mul_(up)
