"""Tables of cosines and sines for positions, and pairs of channels turned by them in plain torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.errors import UsageError

STYLES = ("half", "interleaved", "sinusoidal")


@dataclass(frozen=True)
class Llama3Scaling:
    """How Llama 3.1 stretches its frequencies to contexts longer than it was trained on first.

    Waves longer than original_length / low_frequency_factor are slowed by `factor`, those shorter than
    original_length / high_frequency_factor are kept, and those between are mixed linearly by their frequency.
    """

    factor: float = 8.0
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    original_length: int = 8192

    def __post_init__(self) -> None:
        if not (self.factor > 0 and 0 < self.low_frequency_factor < self.high_frequency_factor):
            raise UsageError(
                f"got {self}; expected a factor above 0, and a low frequency factor above 0 and below the high one: "
                "read them from the model's configuration"
            )

    def of(self, frequencies: Tensor) -> Tensor:
        """Scaled frequencies, in radians a position, of the shape given."""
        turns = self.original_length * frequencies / (2 * math.pi)
        kept = (turns - self.low_frequency_factor) / (self.high_frequency_factor - self.low_frequency_factor)
        kept = kept.clamp(0.0, 1.0)
        return frequencies * (kept + (1 - kept) / self.factor)


def rope_tables(
    length: int,
    head_dim: int,
    theta: float = 10_000.0,
    device: torch.device | str = "cpu",
    *,
    scaling: Llama3Scaling | None = None,
) -> tuple[Tensor, Tensor]:
    """(cos, sin) of position · theta^(-2i/D), float32 [length, D/2], worked out in float64 on the CPU.

    Su et al. 2021, arXiv:2104.09864. Raises UsageError on a length below 1, an odd head size or a theta of 0 or less.
    """
    if length < 1 or head_dim < 2 or head_dim % 2 or not theta > 0:
        raise UsageError(
            f"got length={length}, head_dim={head_dim}, theta={theta}; expected at least one position, an even head "
            "size and a theta above 0"
        )
    frequencies = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    if scaling is not None:
        frequencies = scaling.of(frequencies)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    return angles.cos().float().to(device), angles.sin().float().to(device)


def split(x: Tensor, style: str) -> tuple[Tensor, Tensor]:
    """The first and the second channels of all pairs, [..., D] -> twice [..., D/2]."""
    if style == "half":
        first, second = x.chunk(2, dim=-1)
        return first, second
    return x[..., 0::2], x[..., 1::2]


def join(first: Tensor, second: Tensor, style: str) -> Tensor:
    """The inverse of `split`."""
    if style == "half":
        return torch.cat([first, second], dim=-1)
    return torch.stack([first, second], dim=-1).flatten(-2)


def encode(x: Tensor, cos: Tensor, sin: Tensor, style: str) -> Tensor:
    """x [B, S, H, D] at positions whose cosines and sines are [B, S, 1, D/2], all of one dtype.

    `half` and `interleaved` turn pairs of channels by the position's angles; `sinusoidal` adds sines to even channels
    and cosines to odd ones (Vaswani et al. 2017, arXiv:1706.03762).
    """
    if style == "sinusoidal":
        return x + join(sin, cos, style)
    first, second = split(x, style)
    return join(first * cos - second * sin, second * cos + first * sin, style)


def terms(x: Tensor, cos: Tensor, sin: Tensor, style: str) -> Tensor:
    """The root of the sum of squares of the two terms of each number of `encode`."""
    if style == "sinusoidal":
        return (x.square() + join(sin, cos, style).square()).sqrt()
    first, second = (part.square() for part in split(x, style))
    cos, sin = cos.square(), sin.square()
    return join((first * cos + second * sin).sqrt(), (second * cos + first * sin).sqrt(), style)
