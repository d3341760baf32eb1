"""How a weight [N, K] is stored: the steps between its values, their codes, and the planes that hold both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from attnlab.bench.contract.discovery import Folder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Planes = dict[str, "Tensor"]
CODES = "codes"
Activations = Literal["same", "int8_token", "fp8_token", "fp8_tensor"]
"""What becomes of activations before the product, see `activations.quantised`."""


@dataclass(frozen=True)
class WeightPlane:
    """One tensor of a stored weight: its name, shape and dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class WeightCodec(Protocol):
    """How a weight becomes codes. Columns are taken in groups of g = `group(k)`: w [N, G, g] in float32.

    `fit` gives the steps of each group (scales, minima), as exactly as they are stored, each tensor broadcasting to
    [N, G, g]. `codes` are the nearest ones with those steps, [N, G, g]; `values` what codes stand for, in float32.
    `pack` gives every plane of codes [N, G, g] and their steps; `unpack` takes them back. A method may choose other
    codes than the nearest ones, column by column. `planes` are what is stored of a weight [N, K] whose dtype was
    `dtype`; `refuses` says why a weight of that shape cannot be stored.
    """

    def group(self, k: int) -> int: ...

    def refuses(self, n: int, k: int) -> str | None: ...

    def planes(self, n: int, k: int, dtype: torch.dtype) -> tuple[WeightPlane, ...]: ...

    def fit(self, weight: Tensor) -> Planes: ...

    def codes(self, weight: Tensor, steps: Mapping[str, Tensor]) -> Tensor: ...

    def values(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Tensor: ...

    def pack(self, codes: Tensor, steps: Mapping[str, Tensor]) -> Planes: ...

    def unpack(self, planes: Mapping[str, Tensor], n: int, k: int) -> tuple[Tensor, Planes]: ...


@dataclass(frozen=True)
class WeightFormat:
    """How a weight and the activations that it meets are stored; a file under `formats` has one as `FORMAT`.

    rows_apart: whether each row of a weight has steps of its own, and every plane a row for it, so that weights of one
    input can be stored as one.
    """

    name: str
    summary: str
    codec: WeightCodec
    activations: Activations = "same"
    rows_apart: bool = True

    def nbytes(self, n: int, k: int, dtype: torch.dtype) -> int:
        """Of a weight [N, K] with every scale, minimum and index."""
        return sum(plane.nbytes for plane in self.codec.planes(n, k, dtype))

    def bits_a_weight(self, n: int, k: int, dtype: torch.dtype) -> float:
        return 8 * self.nbytes(n, k, dtype) / (n * k)


FORMATS: Folder[WeightFormat] = Folder("weight format", "attnlab.bench.llm.quantization.formats", "FORMAT")


def known_weight_formats() -> dict[str, WeightFormat]:
    """Every format, by name."""
    return {name: FORMATS.get(name) for name in sorted(FORMATS.names())}


def weight_format(name: str) -> WeightFormat:
    """The format of that name, such as `int1_58`, which may be written `int1.58`; raises UnknownName."""
    return FORMATS.get(name.replace(".", "_"))
