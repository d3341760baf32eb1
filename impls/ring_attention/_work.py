"""Which queries of a rank see which keys of another one's, block for block, without a mask of pairs."""

from __future__ import annotations

from attnlab.bench import RingShard
from attnlab.impls.ring_attention._blocks import Merged, Pair, attend

ALL = slice(None)


def attend_to(shard: RingShard, merged: Merged, keys: Pair, owner: int) -> None:
    """Add what the rank's queries find among the keys and values [B, Hkv, S / p, D] that rank `owner` holds.

    Tokens of a rank stand in rising order, so that its own keys are seen causally. Of another rank's, in contiguous
    order, all or none are seen; in zigzag order all queries see the first half of the keys of a rank before, and
    the second half of the queries sees all keys of a rank behind.
    """
    part = seen(shard, owner)
    if part is None:
        return
    rows, columns = part
    k, v = (x[:, :, columns] for x in keys)
    causal = shard.mask.is_causal and owner == shard.rank
    merged.add(*attend(shard.q[:, :, rows], k, v, shard.scale, causal), rows)


def seen(shard: RingShard, owner: int) -> tuple[slice, slice] | None:
    """The rank's queries and rank `owner`'s keys between which every pair is permitted; None where none is."""
    if not shard.mask.is_causal or owner == shard.rank:
        return ALL, ALL
    if shard.order == "contiguous":
        return (ALL, ALL) if owner < shard.rank else None
    half = shard.q.shape[2] // 2
    return (ALL, slice(None, half)) if owner < shard.rank else (slice(half, None), ALL)
