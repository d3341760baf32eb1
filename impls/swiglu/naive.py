"""SwiGLU step by step in eager PyTorch: the baseline."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import SwigluInputs, implements
from attnlab.impls import _rows


@implements("swiglu", name="naive")
def naive(inputs: SwigluInputs) -> Tensor:
    """Eager, in float32, rounded once."""
    return _rows.swiglu(inputs.x)
