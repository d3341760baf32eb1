"""The masks of xformers 0.0.35 that an adapter makes: whether causal, the window, starts of sequences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class AttentionBias:
    causal: bool = False
    window: int | None = None
    starts: tuple[int, ...] | None = None
    key_starts: tuple[int, ...] | None = None


class BlockDiagonalMask(AttentionBias):
    @classmethod
    def from_seqlens(
        cls, q_seqlen: list[int], kv_seqlen: list[int] | None = None, *, device: torch.device
    ) -> BlockDiagonalMask:
        starts, keys = (tuple(torch.tensor([0, *x]).cumsum(0).tolist()) for x in (q_seqlen, kv_seqlen or q_seqlen))
        return cls(starts=starts, key_starts=keys)

    def make_causal_from_bottomright(self) -> AttentionBias:
        return replace(self, causal=True)

    def make_local_attention_from_bottomright(self, window_size: int) -> AttentionBias:
        return replace(self, causal=True, window=window_size)


def LowerTriangularFromBottomRightMask() -> AttentionBias:  # noqa: N802 - the package's name
    return AttentionBias(causal=True)


def LowerTriangularFromBottomRightLocalAttentionMask(window_size: int) -> AttentionBias:  # noqa: N802
    return AttentionBias(causal=True, window=window_size)
