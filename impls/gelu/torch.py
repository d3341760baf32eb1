"""GELU by PyTorch's own function."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import gelu

from attnlab.bench import GeluInputs, implements


@implements("gelu", name="torch")
def by_torch(inputs: GeluInputs) -> Tensor:
    """torch.nn.functional.gelu: one kernel on every device."""
    return gelu(inputs.x, approximate=inputs.approximate)
