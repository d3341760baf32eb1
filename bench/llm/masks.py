"""Which keys a query may see, by arithmetic and as tensors: full, causal, windows, chunks, documents, trees."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.guess_trees import depths_of, read_tree, written_tree

if TYPE_CHECKING:
    from torch import Tensor

SIZES = {"window": "a window", "chunked": "chunks", "prefix": "a prefix"}
"""Kinds with a number of keys, and what it is of."""
KINDS = ("full", "causal", *SIZES, "document", "tree")
MOST_TOKENS = 2**31 - 1  # of a row: kernels count them in 32 bits
EVERYWHERE = ("full", "causal", "window")
"""What every implementation of attention serves, unless it says otherwise."""
EXAMPLES = "full, causal, window:256, chunked:256, prefix:32, document:100+37 or tree:2x2"


@dataclass(frozen=True)
class Mask:
    """Which keys a query sees. With Sq queries and Sk keys, query i stands at key position p = i + Sk - Sq.

    full       all keys
    causal     keys j <= p, aligned bottom-right
    window     p - n < j <= p: causal, and at most n keys, its own among them
    chunked    causal, and of the query's own chunk of n positions: j // n = p // n (Llama 4)
    prefix     causal, and the first n keys for every query: a prefix that is read in both directions
    document   causal, and of the query's own document: lengths that cover the row, of as many queries as keys
    tree       queries are the nodes of a tree of guesses, the last keys: a node sees all keys before them, its
               ancestors and itself, see `guess_trees`

    A query that sees no key has an output of zeros. size: the number n. documents: their lengths. parents: of nodes 1
    and on, node 0 being the root.
    """

    kind: str = "full"
    size: int | None = None
    documents: tuple[int, ...] = ()
    parents: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.kind == "document":
            return f"document:{'+'.join(map(str, self.documents))}"
        if self.kind == "tree":
            return f"tree:{written_tree(self.parents)}"
        return self.kind if self.size is None else f"{self.kind}:{self.size}"

    @property
    def window(self) -> int | None:
        """The most keys that a query of a sliding window sees; None without one."""
        return self.size if self.kind == "window" else None

    @property
    def is_causal(self) -> bool:
        """Whether keys after the query's own position are forbidden; a prefix lets some through."""
        return self.kind not in ("full", "prefix")

    @property
    def is_band(self) -> bool:
        """Whether it is full, causal or a window, which every implementation serves unless it says otherwise."""
        return self.kind in EVERYWHERE

    @property
    def nodes(self) -> int | None:
        """How many queries a tree has; None for masks of any number of them."""
        return len(self.parents) + 1 if self.kind == "tree" else None

    @classmethod
    def read(cls, value: Any) -> Mask:
        """From `full`, `window:256`, `document:100+37`, `tree:2x2` or another spelling; raises ImpossibleCase."""
        if isinstance(value, Mask):
            return value
        kind, colon, rest = str(value).partition(":")
        if kind not in KINDS or (bool(colon) and kind in ("full", "causal")):
            raise ImpossibleCase(f"unknown mask {value!r}; expected one such as {EXAMPLES}")
        if kind == "tree":
            return cls(kind, parents=read_tree(rest))
        if kind == "document":
            return cls(kind, documents=_read_documents(rest))
        if kind not in SIZES:
            return cls(kind)
        if not rest.isdecimal() or int(rest) < 1:
            raise ImpossibleCase(f"got {SIZES[kind]} of {rest!r} in {value!r}; expected a whole number of at least 1")
        if int(rest) > MOST_TOKENS:
            raise ImpossibleCase(f"got {SIZES[kind]} of {rest} in {value!r}; expected at most {MOST_TOKENS} keys")
        return cls(kind, int(rest))

    def refuses(self, q_len: int, kv_len: int) -> str | None:
        """Why a mask is none of so many queries and keys; None where it is."""
        if self.kind == "document" and {q_len, kv_len} != {sum(self.documents)}:
            return (
                f"got documents of {sum(self.documents)} tokens for {q_len} queries and {kv_len} keys; expected "
                f"documents that cover the row: lengths whose sum is both"
            )
        if self.nodes is not None and (q_len != self.nodes or kv_len < q_len):
            return (
                f"got a tree of {self.nodes} nodes for {q_len} queries and {kv_len} keys; expected a query for each "
                f"node, and at least as many keys"
            )
        return None

    def key_range(self, row: int, q_len: int, kv_len: int) -> tuple[int, int]:
        """First key and one past the last key that a query may see; empty where first >= last.

        Of a tree some keys between are forbidden. Neither end moves left from row to row.
        """
        if self.kind == "full":
            return 0, kv_len
        position = row + kv_len - q_len
        last = max(0, min(kv_len, position + 1))
        if self.kind == "prefix":
            return 0, min(kv_len, max(last, self.size or 0))
        return self._first(position), last

    def _first(self, position: int) -> int:
        if self.kind == "window":
            return max(0, position - (self.size or 0) + 1)
        if self.kind == "chunked":
            return max(0, position) // (self.size or 1) * (self.size or 1)
        if self.kind == "document":
            return max(start for start in self._starts if start <= position)
        return 0

    @property
    def _starts(self) -> list[int]:
        """Where documents that have tokens begin."""
        edges = list(accumulate(self.documents, initial=0))
        return [start for start, end in pairwise(edges) if start < end]

    def pairs(self, q_len: int, kv_len: int) -> int:
        """The number of permitted (query, key) pairs."""
        if self.kind == "full":
            return q_len * kv_len
        if self.kind == "tree":
            return q_len * (kv_len - q_len) + sum(depth + 1 for depth in depths_of(self.parents))
        if self.kind == "document":
            return sum(length * (length + 1) // 2 for length in self.documents)
        return sum(max(0, last - first) for first, last in self._ranges(q_len, kv_len))

    def rows_with_keys(self, q_len: int, kv_len: int) -> int:
        """The number of queries that may see at least one key."""
        return q_len if self.kind in ("full", "prefix") else min(q_len, kv_len)

    def keys_seen(self, q_len: int, kv_len: int) -> int:
        """The number of keys that at least one query may see."""
        if self.kind in ("window", "chunked"):
            return kv_len - self._first(max(0, kv_len - q_len))
        return kv_len

    def most_keys(self, q_len: int, kv_len: int) -> int:
        """The most keys that any query may see."""
        if self.is_band:
            return min(kv_len, self.size or kv_len)
        if self.kind == "tree":
            return kv_len - q_len + 1 + max(depths_of(self.parents))
        return max((last - first for first, last in self._ranges(q_len, kv_len)), default=0)

    def _ranges(self, q_len: int, kv_len: int) -> list[tuple[int, int]]:
        return [self.key_range(row, q_len, kv_len) for row in range(q_len)]

    def permitted(self, rows: Tensor, q_len: int, kv_len: int) -> Tensor:
        """A boolean [len(rows), kv_len]: true where the query of that row may see the key."""
        places = places_of(rows, q_len, kv_len)
        return self.sees(places.position, places.key, kv_len)

    def sees(self, position: Tensor, key: Tensor, length: Tensor | int) -> Tensor:
        """Whether queries at positions see keys of a sequence of `length` tokens; whole numbers that broadcast."""
        import torch

        if self.kind == "full":
            return torch.ones_like(position - key, dtype=torch.bool)
        seen = key <= position
        if self.kind == "prefix":
            return seen | (key < (self.size or 0))
        if self.kind == "window":
            return seen & (key > position - (self.size or 0))
        if self.kind == "chunked":
            return seen & (key // (self.size or 1) == position // (self.size or 1))
        if self.kind == "document":
            ends = torch.tensor(self.documents, device=key.device).cumsum(0)
            document, other = (torch.searchsorted(ends, x.contiguous(), right=True) for x in (position, key))
            return seen & (document == other)
        return seen & self._ancestors(position, key, length) if self.kind == "tree" else seen

    def _ancestors(self, position: Tensor, key: Tensor, length: Tensor | int) -> Tensor:
        """Whether a key lies before the tree, or is an ancestor of the node at `position`, or that node."""
        import torch

        nodes = len(self.parents) + 1
        above = torch.eye(nodes, dtype=torch.bool)
        for node, parent in enumerate(self.parents, start=1):
            above[node] |= above[parent]
        begin = length - nodes
        row, column = ((x - begin).clamp(0, nodes - 1) for x in (position, key))
        return (key < begin) | above.to(key.device)[row, column]


def _read_documents(text: str) -> tuple[int, ...]:
    parts = text.split("+")
    if not all(part.isdecimal() for part in parts) or not any(map(int, parts)):
        raise ImpossibleCase(
            f"got documents {text!r}; expected their lengths such as document:100+37, not all of them 0"
        )
    lengths = tuple(int(part) for part in parts)
    if sum(lengths) > MOST_TOKENS:
        raise ImpossibleCase(f"got documents of {sum(lengths)} tokens; expected at most {MOST_TOKENS}")
    return lengths


def segments_of(packed: Tensor, total: int) -> Tensor:
    """The sequence that each of `total` packed tokens belongs to, from cumulative lengths [N + 1]."""
    import torch

    positions = torch.arange(total, device=packed.device)
    return torch.searchsorted(packed[1:].contiguous().long(), positions, right=True)


def mask_of(window: int | None) -> Mask:
    """What a token of a text sees: every one up to its own, or the last so many of them."""
    return Mask("causal") if window is None else Mask("window", window)


@dataclass(frozen=True)
class Places:
    """Where queries and keys of one row stand within their own sequences.

    position: [R, 1] of the queries. key: [1, Sk]. length: keys of the sequence, a number or [R, 1]. together: whether
    query and key are of one sequence, bool [R, Sk]; None where there is one only.
    """

    position: Tensor
    key: Tensor
    length: Tensor | int
    together: Tensor | None = None

    @property
    def distance(self) -> Tensor:
        """Key position less query position, [R, Sk]; means nothing where they are of different sequences."""
        return self.key - self.position


def places_of(
    rows: Tensor, q_len: int, kv_len: int, packed: Tensor | None = None, packed_keys: Tensor | None = None
) -> Places:
    """Of the query rows [R] and all keys.

    packed, packed_keys: cumulative lengths [N + 1] of queries and of keys; the latter are those of queries where left
    out.
    """
    import torch

    keys = torch.arange(kv_len, device=rows.device)
    if packed is None:
        return Places(rows[:, None] + (kv_len - q_len), keys[None, :], kv_len)
    starts, key_starts = (x.long() for x in (packed, packed if packed_keys is None else packed_keys))
    row_segment, key_segment = segments_of(starts, q_len)[rows], segments_of(key_starts, kv_len)
    lengths = key_starts.diff()
    position = rows - starts[row_segment] + (lengths - starts.diff())[row_segment]
    return Places(
        position[:, None],
        (keys - key_starts[key_segment])[None, :],
        lengths[row_segment][:, None],
        row_segment[:, None] == key_segment[None, :],
    )


def permitted_pairs(
    mask: Mask,
    rows: Tensor,
    q_len: int,
    kv_len: int,
    packed: Tensor | None = None,
    packed_keys: Tensor | None = None,
) -> Tensor:
    """A boolean [len(rows), kv_len] for a mask, with packed sequences kept apart; `packed` as of `places_of`."""
    places = places_of(rows, q_len, kv_len, packed, packed_keys)
    seen = mask.sees(places.position, places.key, places.length)
    return seen if places.together is None else seen & places.together
