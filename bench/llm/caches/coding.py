"""How the tokens of one side of a cache (keys or values) are stored: planes, encoding and decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from attnlab.bench.contract.discovery import Folder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from attnlab.bench.llm.caches.layout import Layout

Planes = dict[str, "Tensor"]
DATA = "data"


@dataclass(frozen=True)
class PlaneSpec:
    """One tensor of a side: codes, scales or minima.

    A plane has a row of `width` elements for each token and head (`token`), for each group of tokens and head
    (`group`), for each head (`head`), or for the whole side (`side`).
    """

    name: str
    width: int
    dtype: torch.dtype
    each: Literal["token", "group", "head", "side"] = "token"

    @property
    def row_bytes(self) -> int:
        return self.width * self.dtype.itemsize

    def tokens_a_row(self, group: int) -> int:
        """How many tokens a row of a growing plane is for, where so many are encoded together."""
        return group if self.each == "group" else 1

    @property
    def grows(self) -> bool:
        """Whether it holds more for more tokens; the others are set once, by calibration."""
        return self.each in ("token", "group")


class Codec(Protocol):
    """How one side is stored. group: how many neighbouring tokens are encoded together.

    `encode` takes x [B, T, Hkv, D] in float32 and gives every growing plane, [B, T, Hkv, width] or, for those of
    groups, [B, T / group, Hkv, width]; valid [B, T] is false where x holds no token. `decode` takes every plane
    with one row for each token, [B, T, Hkv, width] (those of heads and of the side [Hkv, width] and [1, width]) and
    gives [B, T, Hkv, D] in float32. `calibrate` gives the planes that do not grow, from the first tokens.
    """

    @property
    def group(self) -> int: ...

    def planes(self, head_dim: int, dtype: torch.dtype) -> tuple[PlaneSpec, ...]: ...

    def refuses(self, head_dim: int) -> str | None: ...

    def calibrate(self, x: Tensor, valid: Tensor) -> Planes: ...

    def encode(self, x: Tensor, valid: Tensor, fixed: Mapping[str, Tensor]) -> Planes: ...

    def decode(self, planes: Mapping[str, Tensor]) -> Tensor: ...


@dataclass(frozen=True)
class Format:
    """How keys and values are stored; a file under `formats` has one as `FORMAT`."""

    name: str
    summary: str
    keys: Codec
    values: Codec

    @property
    def group(self) -> int:
        """How many neighbouring tokens are encoded together, on either side."""
        return max(self.keys.group, self.values.group)

    def bits_a_value(self, head_dim: int, dtype: torch.dtype) -> float:
        """Bits for each cached number with its share of scales and minima; without what does not grow."""
        bits = 0.0
        for codec in (self.keys, self.values):
            for plane in codec.planes(head_dim, dtype):
                if plane.grows:
                    bits += 8 * plane.row_bytes / plane.tokens_a_row(codec.group)
        return bits / (2 * head_dim)


class OfKeys:
    """Values that are the first numbers of the keys: nothing is stored of them."""

    group = 1

    def planes(self, head_dim: int, dtype: torch.dtype) -> tuple[PlaneSpec, ...]:
        return ()

    def refuses(self, head_dim: int) -> str | None:
        return None

    def calibrate(self, x: Tensor, valid: Tensor) -> Planes:
        return {}

    def encode(self, x: Tensor, valid: Tensor, fixed: Mapping[str, Tensor]) -> Planes:
        return {}

    def decode(self, planes: Mapping[str, Tensor]) -> Tensor:
        raise NotImplementedError("values of a latent layout are read with its keys")


def stored_in(layout: Layout, format: Format) -> Format:
    """The format as a layout has it: without values in a latent one."""
    return replace(format, values=OfKeys()) if layout.latent else format


def read_tokens(
    codec: Codec, specs: Sequence[PlaneSpec], planes: Mapping[str, Tensor], page: Tensor, place: Tensor
) -> Tensor:
    """The tokens at places of pages, both [B, T], decoded from the planes of a side: [B, T, Hkv, D] in float32.

    Growing planes are [pages, rows, Hkv, width], 8-bit floats as bytes.
    """
    found: Planes = {}
    for spec in specs:
        plane = planes[spec.name]
        row = place // spec.tokens_a_row(codec.group)
        found[spec.name] = plane[page, row].view(spec.dtype) if spec.grows else plane
    return codec.decode(found)


FORMATS: Folder[Format] = Folder("cache format", "attnlab.bench.llm.caches.formats", "FORMAT")


def known_formats() -> dict[str, Format]:
    """Every format, by name."""
    return {name: FORMATS.get(name) for name in sorted(FORMATS.names())}


def format_of(name: str) -> Format:
    """The format of that name; raises UnknownName."""
    return FORMATS.get(name)
