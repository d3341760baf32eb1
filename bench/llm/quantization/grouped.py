"""Four bits in groups of neighbouring columns, each with a scale, and with a minimum where they are asymmetric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm.codes import pack, unpack
from attnlab.bench.llm.quantization.coding import CODES, Planes, WeightPlane

SCALE, MINIMUM = "scale", "minimum"
SCALE_DTYPE = torch.float16
ZERO = 8  # the code of 0 where a group is symmetric
LARGEST_CODE = 15
LIMIT = 65504.0  # of float16; what is beyond saturates


@dataclass(frozen=True)
class Int4Codec:
    """Symmetric: w = (code − 8) · scale; else w = code · scale + minimum, as ggml's Q4_1 has it.

    Codes are uint8 [N, K / 2], two to a byte, see `codes.pack`; scale and minimum float16 [N, K / size].
    """

    size: int
    symmetric: bool = True

    def group(self, k: int) -> int:
        return self.size

    def refuses(self, n: int, k: int) -> str | None:
        return refuses_groups(self.size, k)

    def planes(self, n: int, k: int, dtype: torch.dtype) -> tuple[WeightPlane, ...]:
        steps = (SCALE,) if self.symmetric else (SCALE, MINIMUM)
        groups = (n, k // self.size)
        return (
            WeightPlane(CODES, (n, k // 2), torch.uint8),
            *(WeightPlane(name, groups, SCALE_DTYPE) for name in steps),
        )

    def fit(self, weight: Tensor) -> Planes:
        if self.symmetric:
            # the number that is furthest from 0 becomes the code 0, which reaches one step further than 15 does
            return {SCALE: (furthest(weight) / -ZERO).clamp(-LIMIT, LIMIT).to(SCALE_DTYPE)}
        least, largest = weight.amin(-1, keepdim=True), weight.amax(-1, keepdim=True)
        scale = ((largest - least) / LARGEST_CODE).clamp(-LIMIT, LIMIT).to(SCALE_DTYPE)
        return {SCALE: scale, MINIMUM: least.clamp(-LIMIT, LIMIT).to(SCALE_DTYPE)}

    def codes(self, weight: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        scale = steps[SCALE].float()
        above = weight if self.symmetric else weight - steps[MINIMUM].float()
        codes = torch.where(scale != 0, above / scale, 0.0).round() + (ZERO if self.symmetric else 0)
        return codes.clamp(0, LARGEST_CODE).to(torch.uint8)

    def values(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        if self.symmetric:
            return (codes.float() - ZERO) * steps[SCALE].float()
        return codes.float() * steps[SCALE].float() + steps[MINIMUM].float()

    def pack(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Planes:
        return {CODES: pack(codes.flatten(1)), **{name: plane.flatten(1) for name, plane in steps.items()}}

    def unpack(self, planes: Mapping[str, Tensor], n: int, k: int) -> tuple[Tensor, Planes]:
        codes = unpack(planes[CODES]).unflatten(1, (-1, self.size))
        return codes, {name: plane[..., None] for name, plane in planes.items() if name != CODES}


def furthest(weight: Tensor) -> Tensor:
    """The number of each group [..., g] that is furthest from 0, of two alike the first: [..., 1].

    Extremes are found many times as fast as the place of one, which decides between two alike.
    """
    largest, least = weight.amax(-1, keepdim=True), weight.amin(-1, keepdim=True)
    found = torch.where(largest > -least, largest, least)
    alike = (largest == -least)[..., 0]
    if bool(alike.any()):
        groups = weight[alike]
        found[alike] = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
    return found


def refuses_groups(size: int, k: int) -> str | None:
    """Why rows of K columns have no groups of that size."""
    if k < size:
        return f"groups of {size} columns are wider than the weight, which has {k}"
    return f"K={k} is no multiple of a group's {size} columns" if k % size else None
