"""Two numbers of each four neighbours in a row, in the dtype, and where they stand; the others are zeros."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm.quantization.coding import CODES, Planes, WeightFormat, WeightPlane

SIZE, KEPT_OF_EACH = 4, 2
KEPT, INDICES = "kept", "indices"
COLUMNS_A_BYTE = 8  # four indices of two bits
BITS = (0, 2, 4, 6)


@dataclass(frozen=True)
class SparseCodec:
    """Codes [N, K / 2] are the numbers kept, in the dtype; indices uint8 [N, K / 8] their places within their four.

    Indices are rising, of two bits each, four to a byte, the first in the lowest bits. The step of a group is `kept`,
    bool [N, K / 4, 4]: which two are kept, the larger ones unless a method chooses others.
    """

    def group(self, k: int) -> int:
        return SIZE

    def refuses(self, n: int, k: int) -> str | None:
        if k % COLUMNS_A_BYTE:
            return f"K={k} is no multiple of the {COLUMNS_A_BYTE} columns of a byte of indices"
        return None

    def planes(self, n: int, k: int, dtype: torch.dtype) -> tuple[WeightPlane, ...]:
        return WeightPlane(CODES, (n, k // 2), dtype), WeightPlane(INDICES, (n, k // COLUMNS_A_BYTE), torch.uint8)

    def fit(self, weight: Tensor) -> Planes:
        return {KEPT: largest_two(weight.abs())}

    def codes(self, weight: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        return weight * steps[KEPT]

    def values(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Tensor:
        return codes.float()

    def pack(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Planes:
        kept = steps[KEPT]
        places = kept.nonzero()[:, -1].view(*kept.shape[:2], KEPT_OF_EACH)
        four = places.flatten(1).unflatten(1, (-1, len(BITS)))
        indices = (four << torch.tensor(BITS, device=four.device)).sum(-1).to(torch.uint8)
        return {CODES: codes.gather(-1, places).flatten(1), INDICES: indices}

    def unpack(self, planes: Mapping[str, Tensor], n: int, k: int) -> tuple[Tensor, Planes]:
        bits = torch.tensor(BITS, dtype=torch.uint8, device=planes[INDICES].device)
        places = (planes[INDICES][..., None] >> bits & 3).long().view(n, -1, KEPT_OF_EACH)
        numbers = planes[CODES].view(n, -1, KEPT_OF_EACH)
        codes = numbers.new_zeros(n, k // SIZE, SIZE).scatter(-1, places, numbers)
        kept = torch.zeros_like(codes, dtype=torch.bool).scatter(-1, places, True)
        return codes, {KEPT: kept}


def largest_two(importance: Tensor) -> Tensor:
    """Which two of each four [N, G, 4] are the most important ones; of equal ones the first."""
    order = importance.sort(dim=-1, descending=True, stable=True).indices
    return torch.zeros_like(importance, dtype=torch.bool).scatter(-1, order[..., :KEPT_OF_EACH], True)


FORMAT = WeightFormat("sparse_2_4", "two of four neighbours in the dtype, the others zeros", SparseCodec())
