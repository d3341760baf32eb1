"""A weight as a format stores it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.quantization.coding import WeightFormat, weight_format
from attnlab.bench.llm.side_by_side import rows_of


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A weight [N, K] in planes of its format, all on one device; never written to.

    planes: by name, as the format's codec packs them, such as codes and scales.
    """

    format_name: str
    shape: tuple[int, int]
    planes: dict[str, Tensor]

    @property
    def format(self) -> WeightFormat:
        return weight_format(self.format_name)

    @property
    def nbytes(self) -> int:
        return sum(plane.nbytes for plane in self.planes.values())

    @property
    def device(self) -> torch.device:
        return next(iter(self.planes.values())).device

    def dequantised(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """What the codes stand for, [N, K]: worked out in float32, as is the contract of every format."""
        codec = self.format.codec
        values = codec.values(*codec.unpack(self.planes, *self.shape))
        return values.flatten(1).to(dtype)

    def rows(self, start: int, stop: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Some rows of what the codes stand for, [stop − start, K]."""
        if not self.format.rows_apart:
            return self.dequantised(dtype)[start:stop]
        planes = {name: plane[start:stop] for name, plane in self.planes.items()}
        count = min(stop, self.shape[0]) - start
        return QuantizedWeight(self.format_name, (count, self.shape[1]), planes).dequantised(dtype)

    def to(self, device: torch.device | str) -> QuantizedWeight:
        planes = {name: plane.to(device) for name, plane in self.planes.items()}
        return QuantizedWeight(self.format_name, self.shape, planes)

    def in_dtype(self, dtype: torch.dtype) -> QuantizedWeight:
        """The same of a weight that was in that dtype: only numbers that are stored as they are change."""
        declared = self.format.codec.planes(*self.shape, dtype)
        planes = {plane.name: self.planes[plane.name].to(plane.dtype) for plane in declared}
        return QuantizedWeight(self.format_name, self.shape, planes)


def stored(weight: Tensor, format: WeightFormat, codes: Tensor, steps: dict[str, Tensor]) -> QuantizedWeight:
    """A weight [N, K] of chosen codes [N, G, g] and steps."""
    n, k = weight.shape
    return QuantizedWeight(format.name, (n, k), format.codec.pack(codes, steps))


def nearest_values(weight: Tensor, format: WeightFormat) -> Tensor:
    """What a weight [N, K] becomes when each number takes the nearest code, in float32."""
    codec = format.codec
    grouped = weight.unflatten(1, (-1, codec.group(weight.shape[1])))
    steps = codec.fit(grouped)
    return codec.values(codec.codes(grouped, steps), steps).flatten(1)


def checked_weight(weight: Tensor, format: WeightFormat) -> Tensor:
    """The weight [N, K] in float32; raises UsageError where the format cannot hold it."""
    if weight.ndim != 2 or not weight.numel() or not weight.is_floating_point():
        raise UsageError(f"got a weight {list(weight.shape)} of {weight.dtype}; expected numbers [N, K]")
    wide = weight.float()
    wrong = int((~wide.isfinite()).sum())
    if wrong:
        raise UsageError(
            f"got a weight {list(weight.shape)} of which {wrong} numbers are NaN or infinite; expected finite ones: "
            f"mend the checkpoint"
        )
    reason = format.codec.refuses(*weight.shape)
    if reason is not None:
        raise UsageError(f"{format.name}: {reason}; choose another format for a weight {list(weight.shape)}")
    return wide


def joined(weights: Sequence[QuantizedWeight]) -> QuantizedWeight | None:
    """One weight of the rows of several [n, K] of one format; None where it has one scale for all rows.

    A copy, unless their planes follow each other in memory.
    """
    first = weights[0]
    if len({w.format_name for w in weights}) > 1 or not first.format.rows_apart:
        return None
    planes = {name: rows_of(*(w.planes[name] for w in weights)) for name in first.planes}
    return QuantizedWeight(first.format_name, (sum(w.shape[0] for w in weights), first.shape[1]), planes)


def split(weight: QuantizedWeight, rows: Sequence[int]) -> list[QuantizedWeight]:
    """Weights of so many rows each of one whose rows are apart: what `joined` joined."""
    if len(rows) == 1:
        return [weight]
    parts = zip(*(plane.split(list(rows)) for plane in weight.planes.values()), strict=True)
    return [
        QuantizedWeight(weight.format_name, (count, weight.shape[1]), dict(zip(weight.planes, part, strict=True)))
        for count, part in zip(rows, parts, strict=True)
    ]
