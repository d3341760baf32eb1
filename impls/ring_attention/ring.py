"""Ring attention as its formula says: attend, then hand keys and values on, and wait."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import OfRanks, RingAttentionCase, RingShard, implements
from attnlab.impls.ring_attention._blocks import Merged
from attnlab.impls.ring_attention._parts import Parts, of_ring
from attnlab.impls.ring_attention._ring import Ring
from attnlab.impls.ring_attention._work import attend_to


@implements("ring_attention", name="ring")
class RingInTurn(OfRanks):
    """Keys and values go round a ring (Liu et al., arXiv:2310.01889), each step after the computation before it."""

    def prepare_rank(self, case: RingAttentionCase, shard: RingShard) -> Ring:
        return Ring.for_rank(shard)

    def run_rank(self, shard: RingShard, ring: Ring) -> Tensor:
        merged = Merged.empty(shard.q)
        ring.load(shard)
        for owner in ring.owners():
            attend_to(shard, merged, ring.pair, owner)
            if owner != ring.last_owner:
                ring.begin()
                ring.end()
        return merged.out.to(shard.q.dtype)

    def alone_rank(self, shard: RingShard, ring: Ring) -> Parts:
        return of_ring(shard, ring)
