"""Positions told step by step in eager PyTorch: the baseline."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import RopeInputs, implements
from attnlab.impls import _rows


@implements("rope", name="naive")
def naive(inputs: RopeInputs) -> tuple[Tensor, Tensor]:
    """Eager, in float32, rounded once; every style."""
    return _rows.rope(inputs.q, inputs.k, inputs.cos, inputs.sin, inputs.positions, inputs.style)
