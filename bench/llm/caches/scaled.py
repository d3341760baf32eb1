"""Eight-bit codes over a scale: x ≈ code · scale. What the formats int8 and fp8 share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from attnlab.bench.llm.caches.coding import DATA, Planes, PlaneSpec
from attnlab.bench.llm.codes import Grid

SCALE = "scale"


@dataclass(frozen=True)
class ScaledCodec:
    """A float32 scale for each token and head (`token`), for each channel of a head (`head`), or for a side (`side`).

    Those of tokens follow each token, and one of zeros has the scale 0; the others are set once, by calibration, and
    larger numbers that come later saturate.
    """

    grid: Grid
    each: Literal["token", "head", "side"]
    group: int = 1

    def planes(self, head_dim: int, dtype: torch.dtype) -> tuple[PlaneSpec, ...]:
        width = head_dim if self.each == "head" else 1
        return PlaneSpec(DATA, head_dim, self.grid.dtype), PlaneSpec(SCALE, width, torch.float32, each=self.each)

    def refuses(self, head_dim: int) -> str | None:
        return None

    def calibrate(self, x: Tensor, valid: Tensor) -> Planes:
        if self.each == "token":
            return {}
        present = x.abs() * valid[..., None, None]
        shape = x.shape[2:] if self.each == "head" else (1, 1)
        if not x.numel():
            return {SCALE: x.new_zeros(shape)}
        largest = present.amax((0, 1)) if self.each == "head" else present.amax()
        return {SCALE: (largest / self.grid.largest).reshape(shape)}

    def encode(self, x: Tensor, valid: Tensor, fixed: Mapping[str, Tensor]) -> Planes:
        if self.each != "token":
            return {DATA: self.grid.codes(x, fixed[SCALE])}
        scale = x.abs().amax(-1, keepdim=True) / self.grid.largest
        return {DATA: self.grid.codes(x, scale), SCALE: scale}

    def decode(self, planes: Mapping[str, Tensor]) -> Tensor:
        return planes[DATA].float() * planes[SCALE]
