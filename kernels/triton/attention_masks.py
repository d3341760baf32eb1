"""Which keys a query sees, as launchers of attention are told it: bands, chunks, prefixes, documents and trees."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.kernels.triton.launch_checks import check_beside, check_contiguous, check_window, expect

SIZED = {"window": "a window", "chunked": "chunks", "prefix": "a prefix"}
KINDS = ("full", "causal", *SIZED, "document", "tree")


@dataclass(frozen=True)
class Mask:
    """With Sq queries and Sk keys, query i stands at position p = i + Sk - Sq.

    full       all keys
    causal     keys up to p
    window     the last `size` of these
    chunked    those of them with j // size = p // size
    prefix     keys up to p, and the first `size` keys
    document   keys up to p of the query's own document; table: int32 [2, S], where the document of each token begins
               and ends, as `documents` makes it
    tree       queries are nodes, the last keys: a node sees all keys before them, and those of them that its row of
               table, int8 [Sq, Sq], has a one for, as `tree` makes it
    """

    kind: str = "full"
    size: int = 0
    table: Tensor | None = None

    @property
    def causal(self) -> bool:
        """Whether later keys may be forbidden, so that later queries see more."""
        return self.kind != "full"

    @property
    def near(self) -> bool:
        """Whether earlier keys may be forbidden too."""
        return self.kind in ("window", "chunked", "document")

    def reach(self, keys: int) -> int:
        """The size as kernels take it: no more than `keys`, so that sums with it stay within 32 bits."""
        return min(self.size, max(1, keys))


def chosen(causal: bool, window: int | None, mask: Mask | None) -> Mask:
    """The mask of a launcher's arguments; ValueError where they contradict each other."""
    if mask is not None:
        got = f"mask {mask.kind} beside causal={causal} and window={window}"
        expect(not causal and window is None, got, "one of them", "leave causal and window out")
        return mask
    check_window(window)
    expect(causal or window is None, "a window without causal", "causal=True", "the window ends at the diagonal")
    return Mask("causal" if causal else "full") if window is None else Mask("window", window)


def documents(lengths: Sequence[int], device: torch.device) -> Mask:
    """Documents that lie in one row, one after another; a length may be 0."""
    fits = bool(lengths) and min(lengths) >= 0
    expect(fits, f"documents of {list(lengths)} tokens", "lengths of 0 or more", "pass one length a document")
    ends = list(itertools.accumulate(lengths, initial=0))
    spread = [
        [edge for edge, length in zip(edges, lengths, strict=True) for _ in range(length)]
        for edges in (ends[:-1], ends[1:])
    ]
    return Mask("document", table=torch.tensor(spread, dtype=torch.int32, device=device).reshape(2, -1))


def tree(parents: Sequence[int], device: torch.device) -> Mask:
    """A tree of guesses, of which node 0 is the root and `parents` has the parent of each other node."""
    seen = torch.eye(len(parents) + 1, dtype=torch.int8)
    for node, parent in enumerate(parents, start=1):
        got = f"parent {parent} of node {node}"
        expect(0 <= parent < node, got, f"a node before it, 0 to {node - 1}", "number nodes after their parents")
        seen[node] |= seen[parent]
    return Mask("tree", table=seen.to(device))


def check_mask(mask: Mask, q_len: int, kv_len: int, packed: bool, q: Tensor) -> None:
    """ValueError unless a mask is one of so many queries and keys."""
    expect(mask.kind in KINDS, f"mask {mask.kind!r}", ", ".join(KINDS), "name one of these")
    if mask.kind in SIZED:
        expect(mask.size >= 1, f"{SIZED[mask.kind]} of {mask.size}", "at least 1 key", "widen it")
    if mask.kind not in ("document", "tree"):
        return
    got = f"mask {mask.kind} beside cu_seqlens"
    expect(not packed, got, "one of both", "packed sequences are apart already")
    shape, dtype, what = [2, q_len], torch.int32, "documents that cover the row"
    if mask.kind == "tree":
        shape, dtype, what = [q_len, q_len], torch.int8, "a query for each node"
    table = mask.table
    if table is None:
        raise ValueError(f"got mask {mask.kind} without a table; expected {shape}; make it by `documents` or `tree`")
    fits = list(table.shape) == shape and table.dtype == dtype
    got = f"a table {list(table.shape)} of {table.dtype} for {q_len} queries"
    expect(fits, got, f"{shape} of {dtype}: {what}", "make it for this row")
    enough = kv_len == q_len if mask.kind == "document" else kv_len >= q_len
    wanted = "as many" if mask.kind == "document" else "at least as many"
    expect(enough, f"{q_len} queries and {kv_len} keys", f"{wanted} keys", "the queries are the last keys")
    check_beside("the mask's table", table, q)
    check_contiguous("the mask's table", table)
