"""The masks of xformers 0.0.35 that an adapter makes: whether causal, the window, starts of sequences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class AttentionBias:
    causal: bool = False
    window: int | None = None
    starts: tuple[int, ...] | None = None


class BlockDiagonalMask(AttentionBias):
    @classmethod
    def from_seqlens(cls, q_seqlen: list[int], *, device: torch.device) -> BlockDiagonalMask:
        return cls(starts=tuple(torch.tensor([0, *q_seqlen]).cumsum(0).tolist()))

    def make_causal_from_bottomright(self) -> AttentionBias:
        return replace(self, causal=True)

    def make_local_attention_from_bottomright(self, window_size: int) -> AttentionBias:
        return replace(self, causal=True, window=window_size)


def LowerTriangularFromBottomRightMask() -> AttentionBias:  # noqa: N802 - the package's name
    return AttentionBias(causal=True)


def LowerTriangularFromBottomRightLocalAttentionMask(window_size: int) -> AttentionBias:  # noqa: N802
    return AttentionBias(causal=True, window=window_size)
