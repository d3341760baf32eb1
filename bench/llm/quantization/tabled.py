"""Four-bit codes that stand for the entries of a table, over a scale for each group: what nf4 and mxfp4 share."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor


class Table:
    """Numbers in rising order, and the code of each."""

    def __init__(self, numbers: tuple[float, ...], codes: tuple[int, ...] | None = None) -> None:
        self.numbers = numbers
        self._codes = tuple(range(len(numbers))) if codes is None else codes

    @cached_property
    def _sorted(self) -> Tensor:
        return torch.tensor(self.numbers, dtype=torch.float32)

    @cached_property
    def _code_of(self) -> Tensor:
        return torch.tensor(self._codes, dtype=torch.uint8)

    @cached_property
    def _number_of(self) -> Tensor:
        numbers = torch.zeros(max(self._codes) + 1)
        numbers[self._code_of.long()] = self._sorted
        return numbers

    def nearest(self, x: Tensor) -> Tensor:
        """Codes uint8 of the entries that are nearest; half way between two, the one of even code."""
        numbers, codes = self._sorted.to(x.device), self._code_of.to(x.device)
        between = (numbers[1:] + numbers[:-1]) / 2
        below, above = torch.bucketize(x.contiguous(), between), torch.bucketize(x.contiguous(), between, right=True)
        return torch.where(codes[below] % 2 == 0, codes[below], codes[above])

    def numbers_of(self, codes: Tensor) -> Tensor:
        """What codes stand for, in float32."""
        return self._number_of.to(codes.device)[codes.long()]
