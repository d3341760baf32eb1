"""Codes over a scale, of a whole weight or of each row: what int8 and fp8 share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from attnlab.bench.llm.codes import Grid
from attnlab.bench.llm.quantization.coding import CODES, Planes, WeightPlane

SCALE = "scale"


@dataclass(frozen=True)
class ScaledCodec:
    """w = code · scale; codes [N, K] of the grid's dtype, scale float32 [N, 1] (`row`) or [1, 1] (`tensor`)."""

    grid: Grid
    each: Literal["row", "tensor"] = "row"

    def group(self, k: int) -> int:
        return k

    def refuses(self, n: int, k: int) -> str | None:
        return None

    def planes(self, n: int, k: int, dtype: torch.dtype) -> tuple[WeightPlane, ...]:
        scales = n if self.each == "row" else 1
        return WeightPlane(CODES, (n, k), self.grid.dtype), WeightPlane(SCALE, (scales, 1), torch.float32)

    def fit(self, weight: Tensor) -> Planes:
        largest = weight.abs().amax((1, 2), keepdim=True)
        if self.each == "tensor":
            largest = largest.amax(0, keepdim=True)
        return {SCALE: largest / self.grid.largest}

    def codes(self, weight: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        return self.grid.codes(weight, steps[SCALE])

    def values(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        return codes.float() * steps[SCALE]

    def pack(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Planes:
        return {CODES: codes.flatten(1), SCALE: steps[SCALE].flatten(1)}

    def unpack(self, planes: Mapping[str, Tensor], n: int, k: int) -> tuple[Tensor, Planes]:
        return planes[CODES][:, None], {SCALE: planes[SCALE][..., None]}
