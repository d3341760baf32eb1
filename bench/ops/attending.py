"""What cases of attention share, over a prompt or over a cache: heads in groups, the scale, permitted pairs."""

from __future__ import annotations

import torch

from attnlab.bench.axes import Case
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.masks import Mask


class AttendingCase(Case):
    """A case with the axes q_heads, kv_heads, head_dim, dtype and mask, of sequences of queries and keys."""

    q_heads: int
    kv_heads: int
    head_dim: int
    dtype: str
    mask: Mask

    @property
    def sequences(self) -> list[tuple[int, int]]:
        """(query length, key length) of every sequence."""
        raise NotImplementedError

    def validate_heads(self) -> None:
        """Raise ImpossibleCase where key-value heads do not serve equal groups of query heads."""
        if self.q_heads % self.kv_heads:
            raise ImpossibleCase(
                f"got q_heads={self.q_heads} and kv_heads={self.kv_heads}; expected query heads divisible by "
                f"key-value heads, for each key-value head serves an equal group"
            )

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)  # type: ignore[no-any-return]

    @property
    def scale(self) -> float:
        """What scores are multiplied by before the softmax: 1/√D."""
        return float(self.head_dim**-0.5)

    @property
    def pairs(self) -> int:
        """Permitted (query, key) pairs of one head, over all sequences."""
        return sum(self.mask.pairs(q, k) for q, k in self.sequences)
