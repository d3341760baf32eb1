"""Needles at the borders of blocks: each row hangs on the first or the last key of a block that it may see."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.ops._shared.needles import SHARP_SCORE
from attnlab.bench.ops.ring_attention.case import RingAttentionCase


def at_borders(case: RingAttentionCase, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """float32 on the CPU: q [B, Hq, S, D], k and v [B, Hkv, S, D].

    By turns a row finds one such key, which is as good as all of its sum, or two in different blocks, which weigh
    alike: so that what ranks found has to be put together with its weights.
    """
    generator = torch.Generator().manual_seed(seed)
    length, dim = case.seq_len, case.head_dim

    def normal(heads: int) -> Tensor:
        return torch.randn(case.batch, heads, length, dim, generator=generator)

    q, k, v = normal(case.q_heads), normal(case.kv_heads), normal(case.kv_heads)
    k = k * (dim**0.5 / k.norm(dim=-1, keepdim=True))
    starts = torch.arange(0, length, case.block_len)
    borders = torch.cat([starts, starts + case.block_len - 1]).unique()  # the first and last key of each block
    rows = torch.arange(length)
    seen = torch.searchsorted(borders, rows, right=True) if case.mask.is_causal else torch.full((length,), len(borders))
    chance = torch.rand(2, case.batch, case.q_heads, length, generator=generator)
    one, other = borders[(chance * seen).long()]  # each [B, Hq, S]; key 0 is a border that every row may see
    sequence = torch.arange(case.batch)[:, None, None]
    head = torch.arange(case.q_heads)[:, None] // (case.q_heads // case.kv_heads)
    pair = k[sequence, head, one] + torch.where((rows % 2 == 1)[:, None], k[sequence, head, other], 0.0)
    return 0.1 * q + SHARP_SCORE * pair / (case.whole.scale * dim), k, v
