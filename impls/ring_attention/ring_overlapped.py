"""Ring attention whose keys and values travel while those that are there are attended to."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import OfRanks, RingAttentionCase, RingShard, implements
from attnlab.impls.ring_attention._blocks import Merged
from attnlab.impls.ring_attention._parts import Parts, of_ring
from attnlab.impls.ring_attention._ring import Ring
from attnlab.impls.ring_attention._work import attend_to


@implements("ring_attention", name="ring_overlapped")
class RingOverlapped(OfRanks):
    """As `ring`, but that the next keys and values come in while the rank computes with those before."""

    def prepare_rank(self, case: RingAttentionCase, shard: RingShard) -> Ring:
        return Ring.for_rank(shard)

    def run_rank(self, shard: RingShard, ring: Ring) -> Tensor:
        merged = Merged.empty(shard.q)
        ring.load(shard)
        for owner in ring.owners():
            more = owner != ring.last_owner
            if more:
                ring.begin()
            attend_to(shard, merged, ring.pair, owner)
            if more:
                ring.end()
        return merged.out.to(shard.q.dtype)

    def alone_rank(self, shard: RingShard, ring: Ring) -> Parts:
        return of_ring(shard, ring)
