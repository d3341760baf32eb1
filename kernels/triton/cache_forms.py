"""How kernels see a key-value cache: the form in which numbers are stored, and which page and row holds a token."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Form:
    """How keys or values are stored, as kernels are compiled for it."""

    kind: str  # of code, see `decode_planes`
    scales: str  # what has one: nothing, tensor, channel, token, or a group of 32 tokens or channels
    planes: int  # of a unit, see `decode_planes`
    blocks: tuple[int, ...]  # units of a row, in one or two parts whose widths are powers of two
    dtype: Any  # of numbers, Triton's


@dataclass(frozen=True)
class Paging:
    """How tokens lie in pages, as kernels are compiled for it."""

    page_tokens: int
    has_table: bool  # a block table; without one sequence b has page b
    wraps: bool  # token t lies at t mod page_tokens
    adjacent: bool = False  # the tokens of a tile lie one after another
    wide: bool = False  # offsets within a tile need 64 bits
