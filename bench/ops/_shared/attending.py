"""What cases of attention share, over a prompt or over a cache: heads in groups, the scale, permitted pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.biases import Bias
from attnlab.bench.llm.captured.fixture import fixture_path
from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops._shared.sources import capture_of
from attnlab.bench.ops._shared.typed import TypedCase


class AttendingCase(TypedCase):
    """A case with the axes q_heads, kv_heads, head_dim, dtype and mask, of sequences of queries and keys.

    softcap, sinks, bias and qk_norm: see `variants`.
    """

    q_heads: int
    kv_heads: int
    head_dim: int
    mask: Mask
    softcap: float | None
    sinks: str
    bias: Bias
    qk_norm: str
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

    def early_mask(self) -> Mask:
        """The mask, for defaults of axes that come before it."""
        given: Any = self.mask
        mask: Mask = self.read_value("mask", "causal" if given is None else given)
        return mask

    def validate_mask(self) -> None:
        """Raise ImpossibleCase where the mask is none of the sequences, or goes with no such bias."""
        for q_len, kv_len in self.sequences:
            reason = self.mask.refuses(q_len, kv_len)
            if reason is not None:
                raise ImpossibleCase(f"mask {self.mask}: {reason}")
        if self.mask.kind == "tree" and self.bias:
            raise ImpossibleCase(
                f"got bias={self.bias} with mask={self.mask}; expected none: nodes of a tree lie as far as they are "
                f"deep, and not as far as they are stored"
            )

    @property
    def scale(self) -> float:
        """What scores are multiplied by before the softmax: 1/√D."""
        return float(self.head_dim**-0.5)

    @property
    def pairs(self) -> int:
        """Permitted (query, key) pairs of one head, over all sequences."""
        return sum(self.mask.pairs(q, k) for q, k in self.sequences)
