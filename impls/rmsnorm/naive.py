"""RMSNorm step by step in eager PyTorch: the baseline."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import RmsNormInputs, implements
from attnlab.impls import _rows


@implements("rmsnorm", name="naive")
def naive(inputs: RmsNormInputs) -> Tensor:
    """Eager, in float32, rounded once."""
    return _rows.rmsnorm(inputs.x, inputs.weight, inputs.eps)
