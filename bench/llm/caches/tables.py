"""Block tables: which page of the pool holds each stretch of a sequence; made in random order, and checked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attnlab.bench.errors import CacheError


def random_table(pages: Sequence[int], shared_pages: int, seed: int, spare: int = 1) -> tuple[Tensor, int]:
    """A block table int32 [B, most pages] and the size of its pool, for sequences of so many pages each.

    The first shared_pages are the same for all. Pages come in random physical order. `spare` pages belong to no
    sequence; entries behind a sequence's end name one of them, so that looking ahead stays within the pool.
    """
    longest = max(pages, default=0)
    own = [max(0, count - shared_pages) for count in pages]
    shared = min(shared_pages, longest)
    pool = shared + sum(own) + spare
    order = torch.randperm(pool, generator=torch.Generator().manual_seed(seed)).to(torch.int32)
    table = order[-1:].expand(len(pages), max(longest, 1)).clone()
    taken = shared
    for sequence, (count, mine) in enumerate(zip(pages, own, strict=True)):
        table[sequence, : min(shared, count)] = order[: min(shared, count)]
        table[sequence, shared : shared + mine] = order[taken : taken + mine]
        taken += mine
    return table, pool


def check_table(
    table: Tensor, pages: int, batch: int, shared_pages: int = 0, used: Sequence[int] | None = None
) -> None:
    """Raise CacheError unless a block table fits: int32 [B, N], each page in range, none used twice but shared ones.

    used: how many entries of each sequence count, all where left out; what stands behind need only be in range.
    """
    if table.dim() != 2 or table.shape[0] != batch or table.dtype != torch.int32:
        raise CacheError(
            f"got a block table {list(table.shape)} of {table.dtype}; expected int32 [{batch}, pages a sequence]"
        )
    entries = table.tolist()
    owner: dict[int, tuple[int, int]] = {}
    for sequence, row in enumerate(entries):
        for place, page in enumerate(row):
            if not 0 <= page < pages:
                raise CacheError(
                    f"got page {page} at [{sequence}, {place}] of the block table; expected 0 to {pages - 1}, "
                    f"the pages of the pool"
                )
            if place < shared_pages or (used is not None and place >= used[sequence]):
                continue
            if page in owner:
                raise CacheError(
                    f"got page {page} twice in the block table, at {list(owner[page])} and [{sequence}, {place}]; "
                    f"expected each page once, but for the first {shared_pages} of each sequence"
                )
            owner[page] = (sequence, place)
