"""What cases of attention share, over a prompt or over a cache: heads in groups, the scale, permitted pairs."""

from __future__ import annotations

from pathlib import Path

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.captured.fixture import fixture_path
from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops._shared.sources import capture_of
from attnlab.bench.ops._shared.typed import TypedCase


class AttendingCase(TypedCase):
    """A case with the axes q_heads, kv_heads, head_dim, dtype and mask, of sequences of queries and keys."""

    q_heads: int
    kv_heads: int
    head_dim: int
    mask: Mask
    inputs: str

    def files(self) -> dict[str, Path]:
        """The activations that were captured beforehand, where the inputs are such."""
        if not self.inputs.startswith("smollm2"):
            return {}
        path = fixture_path(*capture_of(self.inputs))
        return {"inputs": path} if path.is_file() else {}

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
    def scale(self) -> float:
        """What scores are multiplied by before the softmax: 1/√D."""
        return float(self.head_dim**-0.5)

    @property
    def pairs(self) -> int:
        """Permitted (query, key) pairs of one head, over all sequences."""
        return sum(self.mask.pairs(q, k) for q, k in self.sequences)
