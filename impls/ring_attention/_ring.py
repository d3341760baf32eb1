"""Keys and values that go round a ring of ranks: each sends what it holds to the next one and takes the last one's."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch import distributed as dist

from attnlab.bench import RingShard
from attnlab.impls.ring_attention._blocks import Pair


@dataclass(eq=False)
class Ring:
    """Two buffers [2, B, Hkv, S / p, D]: what is held, and what is coming in."""

    rank: int
    world_size: int
    held: Tensor
    coming: Tensor
    works: list[dist.Work] = field(default_factory=list)

    @classmethod
    def for_rank(cls, shard: RingShard) -> Ring:
        held, coming = shard.k.new_empty((2, 2, *shard.k.shape))
        return cls(shard.rank, shard.world_size, held, coming)

    def load(self, shard: RingShard) -> None:
        """The rank's own keys and values are held."""
        torch.stack((shard.k, shard.v), out=self.held)

    def owners(self) -> list[int]:
        """Whose keys and values are held, step by step; the last ones are not handed on."""
        return [(self.rank - step) % self.world_size for step in range(self.world_size)]

    @property
    def last_owner(self) -> int:
        return (self.rank + 1) % self.world_size

    @property
    def pair(self) -> Pair:
        return self.held[0], self.held[1]

    def begin(self) -> None:
        """Begin to send what is held to the next rank, and to take what the one before holds."""
        send = dist.P2POp(dist.isend, self.held, (self.rank + 1) % self.world_size)
        take = dist.P2POp(dist.irecv, self.coming, (self.rank - 1) % self.world_size)
        self.works = dist.batch_isend_irecv([send, take] if self.rank % 2 == 0 else [take, send])

    def end(self) -> None:
        """Wait for both; what came in is held."""
        for work in self.works:
            work.wait()
        self.held, self.coming = self.coming, self.held
