"""Parts of a call that are timed alone: what it communicates, what it computes, and the whole on one rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from attnlab.bench import RingShard
from attnlab.impls.ring_attention._blocks import Merged, Pair, attend
from attnlab.impls.ring_attention._ring import Ring
from attnlab.impls.ring_attention._work import attend_to

Parts = dict[str, Callable[[], object]]


def parts_of(shard: RingShard, communicate: Callable[[], object], keys: Iterable[tuple[int, Pair]]) -> Parts:
    """keys: of each rank, with its number; their values do not matter to the time."""
    held = list(keys)

    def compute() -> None:
        merged = Merged.empty(shard.q)
        for owner, pair in held:
            attend_to(shard, merged, pair, owner)

    return {"communication": communicate, "computation": compute, "one_rank": _one_rank(shard)}


def of_ring(shard: RingShard, ring: Ring) -> Parts:
    """Of a call whose keys and values go round that ring."""

    def communicate() -> None:
        for owner in ring.owners():
            if owner != ring.last_owner:
                ring.begin()
                ring.end()

    return parts_of(shard, communicate, [(owner, (shard.k, shard.v)) for owner in ring.owners()])


def _one_rank(shard: RingShard) -> Callable[[], object]:
    """Attention over the whole sequence on rank 0, by the same kernel, while the others wait."""
    if shard.rank:
        return lambda: None
    batch, heads, length, dim = shard.q.shape
    kv_heads, whole = shard.k.shape[1], length * shard.world_size
    q, k, v = (torch.randn(batch, h, whole, dim).to(shard.q) for h in (heads, kv_heads, kv_heads))
    return lambda: attend(q, k, v, shard.scale, shard.mask.is_causal)
