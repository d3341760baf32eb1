"""LayerNorm step by step in eager PyTorch: the baseline."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import LayerNormInputs, implements
from attnlab.impls import _rows


@implements("layernorm", name="naive")
def naive(inputs: LayerNormInputs) -> Tensor:
    """Eager, in float32, the variance about the mean, rounded once."""
    return _rows.layernorm(inputs.x, inputs.weight, inputs.bias, inputs.eps)
