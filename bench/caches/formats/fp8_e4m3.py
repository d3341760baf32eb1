"""Eight-bit floats, four bits of exponent and three of mantissa, with one scale for all keys and one for all values."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attnlab.bench.caches.coding import DATA, Format, Planes, PlaneSpec, add_format

LARGEST = 448.0  # of e4m3 without infinities
SCALE = "scale"


class Fp8Tensor:
    """Codes float8_e4m3fn [D]; one float32 scale from the largest calibrated number; larger ones saturate."""

    group = 1

    def planes(self, head_dim: int, dtype: torch.dtype) -> tuple[PlaneSpec, ...]:
        return PlaneSpec(DATA, head_dim, torch.float8_e4m3fn), PlaneSpec(SCALE, 1, torch.float32, each="side")

    def refuses(self, head_dim: int) -> str | None:
        return None

    def calibrate(self, x: Tensor, valid: Tensor) -> Planes:
        present = x.abs() * valid[..., None, None]
        largest = present.amax() if x.numel() else x.new_zeros(())
        return {SCALE: (largest / LARGEST).reshape(1, 1)}

    def encode(self, x: Tensor, valid: Tensor, fixed: Mapping[str, Tensor]) -> Planes:
        return {DATA: fp8_codes(x, fixed[SCALE])}

    def decode(self, planes: Mapping[str, Tensor]) -> Tensor:
        return planes[DATA].float() * planes[SCALE]


def fp8_codes(x: Tensor, scale: Tensor) -> Tensor:
    """x / scale rounded to e4m3 and kept within ±448; 0 where the scale is 0."""
    return torch.where(scale > 0, x / scale, 0.0).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn)


add_format(Format("fp8_e4m3", "float8 e4m3, one scale for keys and one for values", Fp8Tensor(), Fp8Tensor()))
