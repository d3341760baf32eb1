"""Trees of guesses, which one pass of a model verifies: their spelling, and how deep their nodes lie.

Node 0 is the root, the last token that is certain. Nodes are in an order in which each comes after its parent.
Sources: SpecInfer (Miao et al., 2023, arXiv:2305.09781), Medusa (Cai et al., 2024, arXiv:2401.10774).
"""

from __future__ import annotations

import math
import re
from itertools import accumulate, pairwise

from attnlab.bench.errors import ImpossibleCase

MOST_NODES = 256


def read_tree(text: str) -> tuple[int, ...]:
    """The parents of nodes 1 and on, from `4x2x2` or `0+0+1`.

    `4x2x2`: every node of a level has so many children, here 1 + 4 + 8 + 16 nodes. `0+0+1`: the parents themselves.
    Raises ImpossibleCase where that is no tree.
    """
    if re.fullmatch(r"\d+(x\d+)*", text) and ("x" in text or text != "0"):
        return _of_levels(text)
    parts = text.split("+")
    if not all(part.isdecimal() for part in parts):
        raise ImpossibleCase(
            f"got a tree {text!r}; expected children a level such as tree:4x2x2, or the parent of each node after the "
            f"root such as tree:0+0+1"
        )
    parents = tuple(int(part) for part in parts)
    for node, parent in enumerate(parents, start=1):
        if parent >= node:
            raise ImpossibleCase(
                f"got a tree {text!r} in which node {node} has the parent {parent}; expected one that comes before "
                f"it, of 0 to {node - 1}: node 0 is the root"
            )
    _check_size(len(parents) + 1, text)
    return parents


def _of_levels(text: str) -> tuple[int, ...]:
    widths = [int(part) for part in text.split("x")]
    if 0 in widths:
        raise ImpossibleCase(f"got a tree {text!r}; expected at least one child for each node of a level")
    _check_size(1 + sum(accumulate(widths, lambda nodes, width: min(nodes * width, MOST_NODES + 1))), text)
    level, parents = [0], list[int]()
    for width in widths:
        children = [parent for parent in level for _ in range(width)]
        level = list(range(len(parents) + 1, len(parents) + 1 + len(children)))
        parents += children
    return tuple(parents)


def _check_size(nodes: int, text: str) -> None:
    if nodes > MOST_NODES:
        raise ImpossibleCase(f"got a tree {text!r} of more than {MOST_NODES} nodes; expected at most so many")


def written_tree(parents: tuple[int, ...]) -> str:
    """The shortest spelling that `read_tree` reads back: by levels where those say it all."""
    by_level = "x".join(map(str, _widths(parents)))
    return by_level if by_level and _of_levels(by_level) == parents else "+".join(map(str, parents))


def _widths(parents: tuple[int, ...]) -> list[int]:
    """Children of a node of each level, were they all alike; nothing where they cannot be."""
    depths = depths_of(parents)
    counts = [depths.count(depth) for depth in range(max(depths) + 1)]
    widths = [below // above for above, below in pairwise(counts)]
    return widths if math.prod(widths) == counts[-1] else []


def depths_of(parents: tuple[int, ...]) -> list[int]:
    """How many nodes lie above each node, the root first."""
    depths = [0]
    for parent in parents:
        depths.append(depths[parent] + 1)
    return depths
