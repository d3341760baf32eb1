"""Eight bits with a scale for each token and head, symmetric: x ≈ code · scale, scale = largest / 127."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attnlab.bench.caches.coding import DATA, Format, Planes, PlaneSpec, add_format

LARGEST = 127.0
SCALE = "scale"


class Int8Token:
    """Codes int8 [D] and one float32 scale a token and head; a token of zeros has the scale 0."""

    group = 1

    def planes(self, head_dim: int, dtype: torch.dtype) -> tuple[PlaneSpec, ...]:
        return PlaneSpec(DATA, head_dim, torch.int8), PlaneSpec(SCALE, 1, torch.float32)

    def refuses(self, head_dim: int) -> str | None:
        return None

    def calibrate(self, x: Tensor, valid: Tensor) -> Planes:
        return {}

    def encode(self, x: Tensor, valid: Tensor, fixed: Mapping[str, Tensor]) -> Planes:
        scale = x.abs().amax(-1, keepdim=True) / LARGEST
        return {DATA: int8_codes(x, scale), SCALE: scale}

    def decode(self, planes: Mapping[str, Tensor]) -> Tensor:
        return planes[DATA].float() * planes[SCALE]


def int8_codes(x: Tensor, scale: Tensor) -> Tensor:
    """x / scale rounded to nearest even and kept within ±127; 0 where the scale is 0."""
    codes = torch.where(scale > 0, x / scale, 0.0)
    return codes.round().clamp(-LARGEST, LARGEST).to(torch.int8)


add_format(Format("int8_token", "int8, a float32 scale for each token and head", Int8Token(), Int8Token()))
