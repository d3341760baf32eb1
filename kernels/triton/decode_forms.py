"""What the kernel of decoding is given: tensors, strides, sizes, its unit of work, and what it is compiled for."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from attnlab.kernels.triton.attention_scoring import Shaping
from attnlab.kernels.triton.cache_forms import Form, Paging


class Tensors(NamedTuple):
    """What the kernel reads and writes.

    k, v: keys and values, planes data, scale and minimum. partial, lse, counters: a `Workspace`. extras: what models
    add, `Extras` of `attention_scoring`.
    """

    q: Any
    k: Any
    v: Any
    out: Any
    partial: Any
    lse: Any
    counters: Any
    lengths: Any
    table: Any
    extras: Any


class Strides(NamedTuple):
    """Of the first three axes; of k and v those of data, then of scale."""

    q: Any
    k: Any
    v: Any
    out: Any


@dataclass(frozen=True)
class Plan:
    """What the kernel is compiled for."""

    keys: Form
    values: Form
    paging: Paging
    mask: str
    causal: bool
    near: bool
    shaping: Shaping
    head_dim: int
    many: bool  # rows in several tiles: each ends where its last query does
    block_m: int  # rows of a program
    block_n: int  # tokens of a tile
    rows: int  # of a program that may be real, up to a power of two
    inner: int  # tiles in flight


class Sizes(NamedTuple):
    """Of a call: sequences, query heads of a group, new tokens, and the size of the mask."""

    sequences: Any
    group: Any
    q_len: Any
    size: Any


class Unit(NamedTuple):
    """What one program does: part `part` of the `parts` of a sequence, for tile `m_tile` of the rows of a head.

    lane: of all heads' tiles of rows. first_part: where the parts of the sequence begin in the workspace.
    """

    sequence: Any
    head: Any
    m_tile: Any
    lane: Any
    first_part: Any
    part: Any
    parts: Any
