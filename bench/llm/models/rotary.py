"""Rotary position embedding in the half-split form, its tables computed in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.rope_scaling import RopeScaling, plain_frequencies


def frequencies_of(theta: float, head_dim: int, scaling: RopeScaling | None) -> Tensor:
    """Radians for each position, `[D / 2]` float64 on the CPU."""
    plain = torch.tensor(plain_frequencies(theta, head_dim), dtype=torch.float64, device="cpu")
    if scaling is None:
        return plain
    return plain / torch.tensor(scaling.divisors(theta, head_dim), dtype=torch.float64, device="cpu")


def inverse_frequencies(config: ModelConfig, local: bool = False) -> Tensor:
    """Radians for each position, `[D / 2]` float64 on the CPU; `local`: of layers with a window."""
    theta, scaling = config.rope_of(local)
    return frequencies_of(theta, config.head_dim, scaling)


def tables_at(positions: Tensor, theta: float, head_dim: int, scaling: RopeScaling | None) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each `[..., D / 2]` float64 on the device of `positions` `[...]` int64."""
    angles = positions.double().unsqueeze(-1) * frequencies_of(theta, head_dim, scaling).to(positions.device)
    amplitude = 1.0 if scaling is None else scaling.amplitude
    return angles.cos() * amplitude, angles.sin() * amplitude


def rotary_tables(config: ModelConfig, positions: Tensor, local: bool = False) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each `[..., D / 2]` float64 on the device of `positions` `[...]` int64."""
    theta, scaling = config.rope_of(local)
    return tables_at(positions, theta, config.head_dim, scaling)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` `[..., D]` turned by tables that broadcast to `[..., D / 2]`, in the dtype of `x`."""
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
