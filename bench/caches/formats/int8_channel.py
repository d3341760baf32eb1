"""Eight bits; keys with a scale for each channel, set once by calibration, values with one for each token.

Keys of real models have a few channels that are large in every token: a scale of their own keeps the others exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attnlab.bench.caches.coding import DATA, Format, Planes, PlaneSpec, add_format
from attnlab.bench.caches.formats.int8_token import LARGEST, SCALE, Int8Token, int8_codes


class Int8Channel:
    """Codes int8 [D]; float32 scales [Hkv, D] from the largest calibrated key; larger keys that come later saturate."""

    group = 1

    def planes(self, head_dim: int, dtype: torch.dtype) -> tuple[PlaneSpec, ...]:
        return PlaneSpec(DATA, head_dim, torch.int8), PlaneSpec(SCALE, head_dim, torch.float32, each="head")

    def refuses(self, head_dim: int) -> str | None:
        return None

    def calibrate(self, x: Tensor, valid: Tensor) -> Planes:
        present = x.abs() * valid[..., None, None]
        return {SCALE: present.amax((0, 1)) / LARGEST if x.shape[1] else x.new_zeros(x.shape[2:])}

    def encode(self, x: Tensor, valid: Tensor, fixed: Mapping[str, Tensor]) -> Planes:
        return {DATA: int8_codes(x, fixed[SCALE])}

    def decode(self, planes: Mapping[str, Tensor]) -> Tensor:
        return planes[DATA].float() * planes[SCALE]


add_format(
    Format(
        "int8_channel", "int8, keys with a scale for each channel, values for each token", Int8Channel(), Int8Token()
    )
)
