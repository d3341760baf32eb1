"""Numbers as codes: what formats of caches and of weights share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PACKED = 16
"""Codes of four bits: so many neighbours have the low bits of bytes, and so many after them the high ones."""


@dataclass(frozen=True)
class Grid:
    """What codes stand for: numbers up to `largest` on both sides, whole ones where `whole`, else the dtype's own."""

    dtype: torch.dtype
    largest: float
    whole: bool

    def codes(self, x: Tensor, scale: Tensor) -> Tensor:
        """x / scale rounded to nearest even and kept within ±largest; 0 where the scale is 0."""
        steps = torch.where(scale > 0, x / scale, 0.0)
        return (steps.round() if self.whole else steps).clamp(-self.largest, self.largest).to(self.dtype)


INT8 = Grid(torch.int8, 127.0, whole=True)
FP8_E4M3 = Grid(torch.float8_e4m3fn, 448.0, whole=False)


def pack(codes: Tensor) -> Tensor:
    """[..., D] -> [..., D / 2]: channels c and c + 16 of each 32 share a byte, the lower one its low bits."""
    halves: Tensor = codes.unflatten(-1, (-1, 2, PACKED))
    return (halves[..., 0, :] | halves[..., 1, :] << 4).flatten(-2)


def unpack(packed: Tensor) -> Tensor:
    """What `pack` packed."""
    bytes_: Tensor = packed.unflatten(-1, (-1, 1, PACKED))
    return torch.cat([bytes_ & 15, bytes_ >> 4], dim=-2).flatten(-3)
