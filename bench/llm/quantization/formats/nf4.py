"""Four bits at quantiles of the normal distribution, in blocks of 64 whose scales are quantised too.

Technique: QLoRA (Dettmers et al., 2023, arXiv:2305.14314), with the table and the double quantisation of bitsandbytes:
the scale of a block is its largest magnitude; less the mean of all scales, 256 of them, in the order of the weight's
rows, share a float32 scale and have codes of eight bits in a table that is denser near 0.
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

SIZE, SCALES_TOGETHER = 64, 256
SCALE, SCALE_SCALE, OFFSET = "scale", "scale_scale", "offset"
NF4 = Table(
    (
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    )
)
"""QLoRA, appendix E."""


def dynamic_numbers() -> tuple[float, ...]:
    """bitsandbytes' signed eight-bit table: 2^i numbers of each sign evenly in the decade 10^(i-6), i to 6; 0 and 1."""
    numbers = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1.0, (1 << decade) + 1)
        middles = 10.0 ** (decade - 6) * (edges[1:] + edges[:-1]) / 2
        numbers += [sign * x for x in middles.tolist() for sign in (1.0, -1.0)]
    return tuple(sorted(numbers))


DYNAMIC = Table(dynamic_numbers())


@dataclass(frozen=True)
class Nf4Codec:
    """Codes uint8 [N, K / 2], two to a byte, see `codes.pack`; scale uint8 [N, K / 64] in the table `DYNAMIC`.

    A block's scale is DYNAMIC[scale] · scale_scale + offset; scale_scale float32 [blocks / 256, rounded up, 1], of the
    blocks in the order of the rows; offset float32 [1, 1].
    """

    def group(self, k: int) -> int:
        return SIZE

    def refuses(self, n: int, k: int) -> str | None:
        return refuses_groups(SIZE, k)

    def planes(self, n: int, k: int, dtype: torch.dtype) -> tuple[WeightPlane, ...]:
        blocks = n * k // SIZE
        return (
            WeightPlane(CODES, (n, k // 2), torch.uint8),
            WeightPlane(SCALE, (n, k // SIZE), torch.uint8),
            WeightPlane(SCALE_SCALE, (-(-blocks // SCALES_TOGETHER), 1), torch.float32),
            WeightPlane(OFFSET, (1, 1), torch.float32),
        )

    def fit(self, weight: Tensor) -> Planes:
        largest = weight.abs().amax(-1, keepdim=True)
        offset = largest.mean()
        apart = largest - offset
        together = apart.flatten().split(SCALES_TOGETHER)
        scales = spread(torch.stack([part.abs().amax() for part in together]), apart.shape)
        codes = DYNAMIC.nearest(torch.where(scales > 0, apart / scales, 0.0))
        return {SCALE: codes, SCALE_SCALE: scales, OFFSET: offset.view(1, 1, 1)}

    def codes(self, weight: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        scale = block_scale(steps)
        return NF4.nearest(torch.where(scale > 0, weight / scale, 0.0))

    def values(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        return NF4.numbers_of(codes) * block_scale(steps)

    def pack(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Planes:
        return {
            CODES: pack(codes.flatten(1)),
            SCALE: steps[SCALE].flatten(1),
            SCALE_SCALE: steps[SCALE_SCALE].flatten()[::SCALES_TOGETHER, None].contiguous(),
            OFFSET: steps[OFFSET].flatten(1),
        }

    def unpack(self, planes: Mapping[str, Tensor], n: int, k: int) -> tuple[Tensor, Planes]:
        codes = unpack(planes[CODES]).unflatten(1, (-1, SIZE))
        scale = planes[SCALE][..., None]
        spread_out = spread(planes[SCALE_SCALE].flatten(), scale.shape)
        return codes, {SCALE: scale, SCALE_SCALE: spread_out, OFFSET: planes[OFFSET][..., None]}


def spread(scales: Tensor, shape: torch.Size) -> Tensor:
    """For each block its scale's scale."""
    return scales.repeat_interleave(SCALES_TOGETHER)[: shape.numel()].view(shape)


def block_scale(steps: Mapping[str, Tensor]) -> Tensor:
    return DYNAMIC.numbers_of(steps[SCALE]) * steps[SCALE_SCALE] + steps[OFFSET]


FORMAT = WeightFormat(
    "nf4", "normal float4, blocks of 64 columns, their scales quantised too", Nf4Codec(), rows_apart=False
)
