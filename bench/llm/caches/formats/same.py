"""Tokens as they are, in the dtype of the case."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attnlab.bench.llm.caches.coding import DATA, Format, Planes, PlaneSpec


class Same:
    """Rounds to the case's dtype when stored, and no more."""

    group = 1

    def planes(self, head_dim: int, dtype: torch.dtype) -> tuple[PlaneSpec, ...]:
        return (PlaneSpec(DATA, head_dim, dtype),)

    def refuses(self, head_dim: int) -> str | None:
        return None

    def calibrate(self, x: Tensor, valid: Tensor) -> Planes:
        return {}

    def encode(self, x: Tensor, valid: Tensor, fixed: Mapping[str, Tensor]) -> Planes:
        return {DATA: x}

    def decode(self, planes: Mapping[str, Tensor]) -> Tensor:
        return planes[DATA].float()


FORMAT = Format("same", "the case's own dtype", Same(), Same())
