"""GELU step by step in eager PyTorch: the baseline."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import GeluInputs, implements
from attnlab.impls import _rows


@implements("gelu", name="naive")
def naive(inputs: GeluInputs) -> Tensor:
    """Eager, in float32, rounded once; both forms."""
    return _rows.gelu(inputs.x, inputs.approximate)
