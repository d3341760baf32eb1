"""What a layout says: how many tokens a page holds, which page and row a token has, how a page lies in memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attnlab.bench.contract.discovery import Folder
from attnlab.bench.errors import ImpossibleCase

if TYPE_CHECKING:
    from torch import Tensor

Order = Literal["shd", "hsd"]
SHD: Order = "shd"
HSD: Order = "hsd"


@dataclass(frozen=True)
class Layout:
    """One layout, with its number where it has one: `paged:16` is of the family `paged` and has the size 16.

    A cache is made of pages, each [tokens, Hkv, width] (order `shd`) or [Hkv, tokens, width] (`hsd`) in memory.
    page_tokens: how many tokens a page holds; None where one page holds all that a sequence may have. paged: whether
    a block table says which pages a sequence has; otherwise sequence b has page b. wraps: a token's place is its
    position modulo page_tokens, so that only the last page_tokens tokens are kept. latent: whether the value of a token
    is the first numbers of its key, of one head, so that values have no memory of their own (MLA).
    """

    name: str
    order: Order
    page_tokens: int | None = None
    paged: bool = False
    wraps: bool = False
    latent: bool = False

    def pages_for(self, tokens: int) -> int:
        """How many pages a sequence of so many tokens takes."""
        return -(-tokens // self.page_tokens) if self.paged and self.page_tokens else 1

    def tokens_a_page(self, capacity: int) -> int:
        """How many tokens a page holds where a sequence may have `capacity` of them."""
        return self.page_tokens or capacity

    def place(self, positions: Tensor) -> Tensor:
        """The place of tokens within their sequence's pages, counted through all of them."""
        return positions % self.page_tokens if self.wraps and self.page_tokens else positions

    def kept(self, length: int) -> int:
        """How many tokens of a sequence the cache still holds."""
        return min(length, self.page_tokens) if self.wraps and self.page_tokens else length


@dataclass(frozen=True)
class LayoutFamily:
    """A layout's file in one value. make(number): the layout; number is None where the family takes none."""

    name: str
    summary: str
    make: Callable[[int | None], Layout]
    numbered: str = ""  # what the number after the colon is; "" where there is none


LAYOUTS: Folder[LayoutFamily] = Folder("layout", "attnlab.bench.llm.caches.layouts", "LAYOUT")


def known_layouts() -> dict[str, LayoutFamily]:
    """Every family, by name."""
    return {name: LAYOUTS.get(name) for name in sorted(LAYOUTS.names())}


def layout_of(text: str) -> Layout:
    """The layout that `paged:16` names; raises ImpossibleCase or UnknownName."""
    name, colon, number = text.partition(":")
    family = LAYOUTS.get(name)
    if bool(colon) != bool(family.numbered):
        wanted = f"{name}:N, N being the {family.numbered}" if family.numbered else f"{name} alone"
        raise ImpossibleCase(f"got layout {text!r}; expected {wanted}")
    if not family.numbered:
        return family.make(None)
    if not number.isdecimal() or int(number) < 1:
        raise ImpossibleCase(f"got layout {text!r}; expected a {family.numbered} of at least 1, such as {name}:64")
    return family.make(int(number))


def power_of_two(size: int, what: str, layout: str) -> int:
    """The size itself; raises ImpossibleCase where it is no power of two."""
    if size & (size - 1):
        near = 1 << round(math.log2(size))
        raise ImpossibleCase(f"got a {what} of {size} in {layout}; expected a power of two, such as {near}")
    return size
