"""What becomes of activations x [..., K] before a product, where a format has codes for them too."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.llm.codes import FP8_E4M3, INT8, Grid
from attnlab.bench.llm.quantization.coding import Activations

GRIDS: dict[Activations, tuple[Grid, bool]] = {
    "int8_token": (INT8, True),
    "fp8_token": (FP8_E4M3, True),
    "fp8_tensor": (FP8_E4M3, False),
}
"""The grid, and whether each token has a scale of its own."""


def activation_codes(x: Tensor, activations: Activations) -> tuple[Tensor, Tensor]:
    """Codes of x [..., K] in the grid's dtype, and their scale in float32, [..., 1] or one for all.

    The scale is the largest number over the grid's largest, divided in float32; a code is x / scale rounded to nearest
    even, divided in float32 too, so that all who follow the rule have the same codes. A scale of 0 gives codes of 0.
    """
    grid, of_token = GRIDS[activations]
    wide = x.float()
    largest = wide.abs().amax(-1, keepdim=True) if of_token else wide.abs().amax().expand((1,) * x.ndim)
    scale = largest / grid.largest
    return grid.codes(wide, scale), scale


def quantised(x: Tensor, activations: Activations, dtype: torch.dtype) -> Tensor:
    """x [..., K] as it counts in the product, in `dtype`: code · scale, the product worked out in `dtype`."""
    if activations == "same":
        return x.to(dtype)
    codes, scale = activation_codes(x, activations)
    return codes.to(dtype) * scale.to(dtype)
