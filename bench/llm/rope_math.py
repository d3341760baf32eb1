"""Tables of cosines and sines for positions, and pairs of channels turned by them in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models.rope_scaling import RopeScaling
from attnlab.bench.llm.models.rotary import tables_at

STYLES = ("half", "interleaved", "sinusoidal")


def rope_tables(
    length: int,
    head_dim: int,
    theta: float = 10_000.0,
    device: torch.device | str = "cpu",
    *,
    scaling: RopeScaling | None = None,
) -> tuple[Tensor, Tensor]:
    """(cos, sin) of position · theta^(-2i/D), float32 [length, D/2], worked out in float64 on the CPU.

    Su et al. 2021, arXiv:2104.09864. Raises UsageError on a length below 1, an odd head size or a theta of 0 or less.
    """
    if length < 1 or head_dim < 2 or head_dim % 2 or not theta > 0:
        raise UsageError(
            f"got length={length}, head_dim={head_dim}, theta={theta}; expected at least one position, an even head "
            "size and a theta above 0"
        )
    cos, sin = tables_at(torch.arange(length), theta, head_dim, scaling)
    return cos.float().to(device), sin.float().to(device)


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
