"""Eight-bit floats with a scale for each token and head."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attnlab.bench.caches.coding import DATA, Format, Planes, PlaneSpec, add_format
from attnlab.bench.caches.formats.fp8_e4m3 import LARGEST, SCALE, fp8_codes


class Fp8Token:
    """Codes float8_e4m3fn [D] and one float32 scale a token and head; a token of zeros has the scale 0."""

    group = 1

    def planes(self, head_dim: int, dtype: torch.dtype) -> tuple[PlaneSpec, ...]:
        return PlaneSpec(DATA, head_dim, torch.float8_e4m3fn), PlaneSpec(SCALE, 1, torch.float32)

    def refuses(self, head_dim: int) -> str | None:
        return None

    def calibrate(self, x: Tensor, valid: Tensor) -> Planes:
        return {}

    def encode(self, x: Tensor, valid: Tensor, fixed: Mapping[str, Tensor]) -> Planes:
        scale = x.abs().amax(-1, keepdim=True) / LARGEST
        return {DATA: fp8_codes(x, scale), SCALE: scale}

    def decode(self, planes: Mapping[str, Tensor]) -> Tensor:
        return planes[DATA].float() * planes[SCALE]


add_format(Format("fp8_e4m3_token", "float8 e4m3, a scale for each token and head", Fp8Token(), Fp8Token()))
