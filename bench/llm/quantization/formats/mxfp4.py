"""Four-bit floats in blocks of 32 with a power of two as scale: MXFP4 of OCP's Microscaling Formats (MX) 1.0.

An E2M1 code has its sign in the top bit, two bits of exponent and one of mantissa: 0, 0.5, 1, 1.5, 2, 3, 4 and 6. The
scale of a block is stored as E8M0: a byte e stands for 2^(e - 127). It is the largest power of two that is at most the
block's largest number, over that of 6, which is 4; what is then beyond ±6 becomes ±6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm.codes import pack, unpack
from attnlab.bench.llm.quantization.coding import CODES, Planes, WeightFormat, WeightPlane
from attnlab.bench.llm.quantization.grouped import refuses_groups
from attnlab.bench.llm.quantization.tabled import Table

SIZE, SCALE = 32, "scale"
BIAS = 127  # of E8M0; 255 stands for NaN and is not used
LARGEST_EXPONENT = 2  # of E2M1: 6 is 1.5 · 2²
MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
SIGN = 8
E2M1 = Table(
    tuple(-x for x in reversed(MAGNITUDES[1:])) + MAGNITUDES,
    tuple(SIGN + code for code in range(7, 0, -1)) + tuple(range(8)),
)


@dataclass(frozen=True)
class Mxfp4Codec:
    """Codes uint8 [N, K / 2], two to a byte, see `codes.pack`; scale uint8 [N, K / 32], E8M0."""

    def group(self, k: int) -> int:
        return SIZE

    def refuses(self, n: int, k: int) -> str | None:
        return refuses_groups(SIZE, k)

    def planes(self, n: int, k: int, dtype: torch.dtype) -> tuple[WeightPlane, ...]:
        return WeightPlane(CODES, (n, k // 2), torch.uint8), WeightPlane(SCALE, (n, k // SIZE), torch.uint8)

    def fit(self, weight: Tensor) -> Planes:
        largest = weight.abs().amax(-1, keepdim=True)
        exponent = torch.frexp(largest).exponent - 1  # largest is from 2^exponent to below its double
        stored = (exponent - LARGEST_EXPONENT + BIAS).clamp(0, 2 * BIAS)
        return {SCALE: torch.where(largest > 0, stored, 0).to(torch.uint8)}

    def codes(self, weight: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        return E2M1.nearest(weight / power_of_two(steps[SCALE]))

    def values(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        return E2M1.numbers_of(codes) * power_of_two(steps[SCALE])

    def pack(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Planes:
        return {CODES: pack(codes.flatten(1)), SCALE: steps[SCALE].flatten(1)}

    def unpack(self, planes: Mapping[str, Tensor], n: int, k: int) -> tuple[Tensor, Planes]:
        return unpack(planes[CODES]).unflatten(1, (-1, SIZE)), {SCALE: planes[SCALE][..., None]}


def power_of_two(stored: Tensor) -> Tensor:
    """What E8M0 stands for, in float32."""
    return torch.ldexp(torch.ones_like(stored, dtype=torch.float32), stored.int() - BIAS)


FORMAT = WeightFormat("mxfp4", "float4 e2m1, a power of two for each 32 columns", Mxfp4Codec())
