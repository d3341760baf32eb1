"""Ternary weights: -1, 0 or 1 over a scale for each row, the mean magnitude of its numbers.

Technique: BitNet b1.58 (Ma et al., 2024, arXiv:2402.17764), which was trained with it and has one scale for a matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm.quantization.coding import CODES, Planes, WeightFormat, WeightPlane

SCALE = "scale"
TOGETHER = 5  # codes of a byte: 3⁵ = 243
ZERO = 1  # the code of 0


@dataclass(frozen=True)
class TernaryCodec:
    """w = (code − 1) · scale, codes 0 to 2; scale float32 [N, 1].

    Codes are uint8 [N, K / 5, rounded up]: columns 5b to 5b + 4 are digits of byte b to the base 3, the first the
    lowest; what is beyond the last column is 0.
    """

    def group(self, k: int) -> int:
        return k

    def refuses(self, n: int, k: int) -> str | None:
        return None

    def planes(self, n: int, k: int, dtype: torch.dtype) -> tuple[WeightPlane, ...]:
        return WeightPlane(CODES, (n, -(-k // TOGETHER)), torch.uint8), WeightPlane(SCALE, (n, 1), torch.float32)

    def fit(self, weight: Tensor) -> Planes:
        return {SCALE: weight.abs().mean(-1, keepdim=True)}

    def codes(self, weight: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        scale = steps[SCALE]
        return (torch.where(scale > 0, weight / scale, 0.0).round().clamp(-1, 1) + ZERO).to(torch.uint8)

    def values(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        return (codes.float() - ZERO) * steps[SCALE]

    def pack(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Planes:
        flat = codes.flatten(1)
        padded = torch.nn.functional.pad(flat, (0, -flat.shape[1] % TOGETHER)).unflatten(1, (-1, TOGETHER))
        return {CODES: (padded * powers(flat.device)).sum(-1, dtype=torch.uint8), SCALE: steps[SCALE].flatten(1)}

    def unpack(self, planes: Mapping[str, Tensor], n: int, k: int) -> tuple[Tensor, Planes]:
        digits = planes[CODES][..., None] // powers(planes[CODES].device) % 3
        return digits.flatten(1)[:, None, :k], {SCALE: planes[SCALE][..., None]}


def powers(device: torch.device) -> Tensor:
    return torch.tensor([3**digit for digit in range(TOGETHER)], dtype=torch.uint8, device=device)


FORMAT = WeightFormat("int1_58", "ternary, a scale for each output channel, five codes a byte", TernaryCodec())
