"""Four bits in groups of 32: keys by channel over 32 tokens, values by token over 32 channels.

Technique: KIVI (Liu et al., 2024, arXiv:2402.02750): x ≈ code · scale + minimum, scale = (largest - least) / 15. The
last group of keys is encoded anew at each append, from tokens that are kept beside in full precision.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attnlab.bench.llm.caches.coding import DATA, Format, Planes, PlaneSpec
from attnlab.bench.llm.codes import pack, unpack

GROUP = 32
STEPS = 15.0
SCALE, MINIMUM = "scale", "minimum"
SCALE_DTYPE = torch.float16
LIMIT = 65504.0  # of float16; what is beyond saturates


class Int4Channel:
    """Codes uint8 [D / 2], two to a byte; a float16 scale and minimum for each channel of 32 tokens."""

    group = GROUP

    def planes(self, head_dim: int, dtype: torch.dtype) -> tuple[PlaneSpec, ...]:
        return (
            PlaneSpec(DATA, head_dim // 2, torch.uint8),
            PlaneSpec(SCALE, head_dim, SCALE_DTYPE, each="group"),
            PlaneSpec(MINIMUM, head_dim, SCALE_DTYPE, each="group"),
        )

    def refuses(self, head_dim: int) -> str | None:
        return refuses_width(head_dim)

    def calibrate(self, x: Tensor, valid: Tensor) -> Planes:
        return {}

    def encode(self, x: Tensor, valid: Tensor, fixed: Mapping[str, Tensor]) -> Planes:
        groups = x.unflatten(1, (-1, GROUP))  # [B, T/32, 32, Hkv, D]
        present = valid.unflatten(1, (-1, GROUP))[..., None, None]
        least = groups.masked_fill(~present, float("inf")).amin(2, keepdim=True)
        largest = groups.masked_fill(~present, float("-inf")).amax(2, keepdim=True)
        empty = ~present.any(2, keepdim=True)
        codes, scale, minimum = int4_codes(groups, least.masked_fill(empty, 0.0), largest.masked_fill(empty, 0.0))
        return {DATA: pack(codes.flatten(1, 2)), SCALE: scale[:, :, 0], MINIMUM: minimum[:, :, 0]}

    def decode(self, planes: Mapping[str, Tensor]) -> Tensor:
        return unpack(planes[DATA]) * planes[SCALE].float() + planes[MINIMUM].float()


class Int4Token:
    """Codes uint8 [D / 2], two to a byte; a float16 scale and minimum for each 32 channels of a token."""

    group = 1

    def planes(self, head_dim: int, dtype: torch.dtype) -> tuple[PlaneSpec, ...]:
        return (
            PlaneSpec(DATA, head_dim // 2, torch.uint8),
            PlaneSpec(SCALE, head_dim // GROUP, SCALE_DTYPE),
            PlaneSpec(MINIMUM, head_dim // GROUP, SCALE_DTYPE),
        )

    def refuses(self, head_dim: int) -> str | None:
        return refuses_width(head_dim)

    def calibrate(self, x: Tensor, valid: Tensor) -> Planes:
        return {}

    def encode(self, x: Tensor, valid: Tensor, fixed: Mapping[str, Tensor]) -> Planes:
        groups = x.unflatten(-1, (-1, GROUP))  # [B, T, Hkv, D/32, 32]
        codes, scale, minimum = int4_codes(groups, groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True))
        return {DATA: pack(codes.flatten(-2)), SCALE: scale[..., 0], MINIMUM: minimum[..., 0]}

    def decode(self, planes: Mapping[str, Tensor]) -> Tensor:
        codes: Tensor = unpack(planes[DATA]).unflatten(-1, (-1, GROUP))
        return (codes * planes[SCALE].float()[..., None] + planes[MINIMUM].float()[..., None]).flatten(-2)


def refuses_width(head_dim: int) -> str | None:
    if head_dim % GROUP:
        return f"int4_g32 groups {GROUP} channels, and a head size of {head_dim} is no multiple of it"
    return None


def int4_codes(x: Tensor, least: Tensor, largest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes 0 to 15 by the scale and minimum as they are stored, in float16; scale 0 gives code 0."""
    least, largest = least.clamp(-LIMIT, LIMIT), largest.clamp(-LIMIT, LIMIT)
    scale = ((largest - least) / STEPS).to(SCALE_DTYPE)
    minimum = least.to(SCALE_DTYPE)
    steps = torch.where(scale > 0, (x - minimum.float()) / scale.float(), 0.0)
    return steps.round().clamp(0, STEPS).to(torch.uint8), scale, minimum


FORMAT = Format("int4_g32", "int4, groups of 32: keys by channel, values by token", Int4Channel(), Int4Token())
