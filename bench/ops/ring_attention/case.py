"""Cases of operator `ring_attention`: attention over a sequence whose parts lie on several ranks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attnlab.bench.contract.axes import axis, dtype_axis, like, size
from attnlab.bench.errors import ImpossibleCase
from attnlab.bench.llm.masks import Mask
from attnlab.bench.ops._shared.ranks import world_size_axis
from attnlab.bench.ops._shared.rowwise import choice
from attnlab.bench.ops._shared.typed import TypedCase
from attnlab.bench.ops.attention.case import AttentionCase

ZIGZAG, CONTIGUOUS = "zigzag", "contiguous"


def _read_mask(value: Any) -> Mask:
    mask = Mask.read(value)
    if mask.kind not in ("full", "causal"):
        raise ImpossibleCase(f"got {value!r}; expected full or causal")
    return mask


@dataclass(frozen=True)
class RingAttentionCase(TypedCase):
    """One shape, dtype and mask for attention over a sequence that ranks share, and which of its blocks are whose."""

    kind = "ring_attention"

    world_size: int = world_size_axis()
    batch: int = size("B", help="sequences", default=1)
    q_heads: int = size("Hq", help="query heads", default=8)
    kv_heads: int = size("Hkv", help="key-value heads: fewer than query heads is GQA, one MQA", default=like("q_heads"))
    seq_len: int = size("S", help="tokens of the whole sequence, queries and keys alike", default=2048)
    head_dim: int = size("D", help="head size", default=64)
    dtype: str = dtype_axis()
    mask: Mask = axis(pattern="full|causal", read=_read_mask, help="full or causal", default=Mask.read("causal"))
    order: str = choice(
        CONTIGUOUS,
        ZIGZAG,
        help="which blocks a rank holds; zigzag: rank r of p holds blocks r and 2p − 1 − r of 2p, so that each has "
        "as many permitted pairs",
        default=CONTIGUOUS,
    )
    inputs: str = choice("normal", "outliers", help="source of data", default="normal")

    def validate(self) -> None:
        blocks = self.blocks
        if self.seq_len % blocks:
            why = f"two blocks for each of {self.world_size} ranks" if self.order == ZIGZAG else "a block for each rank"
            raise ImpossibleCase(
                f"got seq_len={self.seq_len} with world_size={self.world_size} and order={self.order}; expected a "
                f"multiple of {blocks}: {why}"
            )
        _ = self.whole  # its axes are checked

    @property
    def blocks(self) -> int:
        """Into how many the sequence is cut."""
        return self.world_size * (2 if self.order == ZIGZAG else 1)

    @property
    def block_len(self) -> int:
        """Tokens of a block."""
        return self.seq_len // self.blocks

    def blocks_of(self, rank: int) -> tuple[int, ...]:
        """The blocks that a rank holds, in the order in which it holds them."""
        return (rank, self.blocks - 1 - rank) if self.order == ZIGZAG else (rank,)

    @cached_property
    def whole(self) -> AttentionCase:
        """The same attention on one device."""
        return AttentionCase(
            batch=self.batch,
            q_heads=self.q_heads,
            kv_heads=self.kv_heads,
            q_len=self.seq_len,
            head_dim=self.head_dim,
            dtype=self.dtype,
            mask=self.mask,
            inputs=self.inputs,
        )
