"""Outliers of activations are moved into the weight, where activations have codes too.

Technique: SmoothQuant (Xiao et al., 2023, arXiv:2211.10438): a column is divided by max|x|^α / max|w|^(1 - α), with α
searched on the calibration activations; whoever holds the layer before divides its output by it. Codes are the nearest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.llm.quantization.activations import quantised
from attnlab.bench.llm.quantization.choosing import Method, Tied
from attnlab.bench.llm.quantization.coding import WeightFormat
from attnlab.bench.llm.quantization.column_scales import LEAST, least_lossy
from attnlab.bench.llm.quantization.losses import output_error
from attnlab.bench.llm.quantization.methods import rtn
from attnlab.bench.llm.quantization.weight import nearest_values

ALPHAS = tuple(step / 20 for step in range(4, 19))
TOKENS = 512  # on which α is searched


def column_scale(weight: Tensor, format: WeightFormat, activations: Tensor, tied: Tied) -> Tensor:
    """The scale [K] of the least error in the output, with activations rounded as the format does."""
    x = activations[:: max(1, len(activations) // TOKENS)]
    expected = x @ weight.mT

    def loss_of(scale: Tensor) -> float:
        rounded = nearest_values(weight * scale, format)
        return output_error(quantised(x / scale, format.activations, torch.float32) @ rounded.mT, expected)

    largest_x, largest_w = (_kept_off_zero(x.abs().amax(0)) for x in (activations, weight))
    as_they_are = torch.ones_like(largest_x)
    smoothed = (tied(largest_x**alpha / largest_w ** (1 - alpha)) for alpha in ALPHAS)
    return least_lossy([as_they_are, *smoothed], loss_of)


def _kept_off_zero(largest: Tensor) -> Tensor:
    return largest.clamp_min(LEAST * float(largest.amax()) + torch.finfo(torch.float32).tiny)


def refuses(format: WeightFormat) -> str | None:
    if format.activations == "same":
        return "activations keep their dtype with it, so that there is nothing to smooth; take awq"
    return None


METHOD = Method(
    "smoothquant", "SmoothQuant: outliers of activations moved into the weight", rtn.choose, True, refuses, column_scale
)
