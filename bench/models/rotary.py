"""Rotary position embedding in the half-split form, its tables computed in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attnlab.bench.models.config import ModelConfig, RopeScaling


def inverse_frequencies(config: ModelConfig) -> Tensor:
    """Radians for each position, `[D / 2]` float64 on the CPU."""
    exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float64, device="cpu") / config.head_dim
    frequencies = config.rope_theta**-exponent
    return frequencies if config.rope_scaling is None else frequencies / stretch(frequencies, config.rope_scaling)


def stretch(frequencies: Tensor, scaling: RopeScaling) -> Tensor:
    """By what each of `frequencies` `[D / 2]` is divided: 1 for fast ones to `scaling.factor` for slow ones.

    The rule of Llama 3.1 (Meta, llama-models, `apply_scaling`).
    """
    turns = scaling.original_context * frequencies / (2 * math.pi)
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    kept = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    return 1 / (kept + (1 - kept) / scaling.factor)


def rotary_tables(config: ModelConfig, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each `[..., D / 2]` float64 on the device of `positions` `[...]` int64."""
    angles = positions.double().unsqueeze(-1) * inverse_frequencies(config).to(positions.device)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` `[..., D]` turned by tables that broadcast to `[..., D / 2]`, in the dtype of `x`."""
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
