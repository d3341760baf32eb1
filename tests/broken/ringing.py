"""Broken ring attention: what ranks may do wrong with each other's keys, and with what they found among them.

Ranks import this file by itself, so that it leans on none beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import OfRanks
from attnlab.bench.ops.ring_attention.contract import RingShard
from attnlab.impls.ring_attention._blocks import Merged
from attnlab.impls.ring_attention._ring import Ring
from attnlab.impls.ring_attention._work import attend_to


class Rings(OfRanks):
    """A ring, step by step, each of which can be spoilt."""

    def prepare_rank(self, case: Any, shard: RingShard) -> Ring:
        return Ring.for_rank(shard)

    def run_rank(self, shard: RingShard, ring: Ring) -> Tensor:
        merged = self.merged(shard)
        self.load(ring, shard)
        for owner in ring.owners():
            self.attend(shard, merged, ring, owner)
            if owner != ring.last_owner:
                self.hand_on(ring)
        return self.finished(merged.out).to(shard.q.dtype)

    def merged(self, shard: RingShard) -> Merged:
        return Merged.empty(shard.q)

    def load(self, ring: Ring, shard: RingShard) -> None:
        ring.load(shard)

    def attend(self, shard: RingShard, merged: Merged, ring: Ring, owner: int) -> None:
        attend_to(shard, merged, ring.pair, owner)

    def hand_on(self, ring: Ring) -> None:
        ring.begin()
        ring.end()

    def finished(self, out: Tensor) -> Tensor:
        return out


def always(case: Any) -> bool:
    return True


def causal(case: Any) -> bool:
    return bool(case.mask.is_causal)


class OwnKeysTwice(Rings):
    """What is handed on is never taken in: the rank's own keys stand for those of the next."""

    def hand_on(self, ring: Ring) -> None:
        ring.begin()
        ring.end()
        ring.held, ring.coming = ring.coming, ring.held


class TakenForAnotherRank(Rings):
    """Ranks in wrong order."""

    def attend(self, shard: RingShard, merged: Merged, ring: Ring, owner: int) -> None:
        other = shard.world_size - 1
        super().attend(replace(shard, rank=other - shard.rank), merged, ring, other - owner)


class RowsInWrongOrder(Rings):
    """The second half of a rank's rows before the first."""

    def finished(self, out: Tensor) -> Tensor:
        return out.roll(out.shape[2] // 2, 2)


class KeysOfTheLastRankDropped(Rings):
    def attend(self, shard: RingShard, merged: Merged, ring: Ring, owner: int) -> None:
        if owner != shard.world_size - 1:
            super().attend(shard, merged, ring, owner)

    def finished(self, out: Tensor) -> Tensor:
        return out.nan_to_num()


class OwnBlockOnly(Rings):
    def attend(self, shard: RingShard, merged: Merged, ring: Ring, owner: int) -> None:
        if owner == shard.rank:
            super().attend(shard, merged, ring, owner)


class StaleBuffer(Rings):
    """The keys of the first call, in every call."""

    def load(self, ring: Ring, shard: RingShard) -> None:
        first = getattr(ring, "first", None)
        if first is None:
            super().load(ring, shard)
            ring.first = ring.held.clone()  # type: ignore[attr-defined]
        else:
            ring.held.copy_(first)


class Added(Merged):
    """What each block gives is added up, and divided by how many there were."""

    blocks: Tensor | None = None

    def add(self, out: Tensor, lse: Tensor, rows: slice = slice(None)) -> None:
        if self.blocks is None:
            self.blocks = torch.zeros(self.lse.shape)
        self.blocks[:, :, rows] += 1
        count = self.blocks[:, :, rows, None]
        self.out[:, :, rows] = (self.out[:, :, rows] * (count - 1) + out.float()) / count


class MergedWithoutRescaling(Rings):
    def merged(self, shard: RingShard) -> Merged:
        return Added.empty(shard.q)


class Largest(Merged):
    """What was found before is not scaled down."""

    def add(self, out: Tensor, lse: Tensor, rows: slice = slice(None)) -> None:
        before = self.lse[:, :, rows]
        both = torch.logaddexp(before, lse)
        self.out[:, :, rows] += out.float() * (lse - both).exp()[..., None]
        self.lse[:, :, rows] = both


class OldPartNotRescaled(Rings):
    def merged(self, shard: RingShard) -> Merged:
        return Largest.empty(shard.q)


class ZigzagTakenAsContiguous(Rings):
    """The mask is that of blocks in their order."""

    def attend(self, shard: RingShard, merged: Merged, ring: Ring, owner: int) -> None:
        super().attend(replace(shard, order="contiguous"), merged, ring, owner)


class ContiguousTakenAsZigzag(Rings):
    def attend(self, shard: RingShard, merged: Merged, ring: Ring, owner: int) -> None:
        super().attend(replace(shard, order="zigzag"), merged, ring, owner)


class EveryRankCausal(Rings):
    """The keys of every rank are seen as the rank's own are."""

    def attend(self, shard: RingShard, merged: Merged, ring: Ring, owner: int) -> None:
        super().attend(shard, merged, ring, shard.rank)


class NoMask(Rings):
    def attend(self, shard: RingShard, merged: Merged, ring: Ring, owner: int) -> None:
        super().attend(replace(shard, mask=type(shard.mask)("full")), merged, ring, owner)


DEFECTS: dict[type, Callable[[Any], bool]] = {
    OwnKeysTwice: always,
    TakenForAnotherRank: causal,
    RowsInWrongOrder: always,
    KeysOfTheLastRankDropped: always,
    OwnBlockOnly: always,
    StaleBuffer: always,
    MergedWithoutRescaling: always,
    OldPartNotRescaled: always,
    ZigzagTakenAsContiguous: lambda case: causal(case) and case.order == "zigzag",
    ContiguousTakenAsZigzag: lambda case: causal(case) and case.order == "contiguous",
    EveryRankCausal: causal,
    NoMask: causal,
}
