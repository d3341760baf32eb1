"""What the stand-in packages compute with: attention in plain torch, in FlashAttention's layout."""

from __future__ import annotations

import torch
from torch import Tensor

NO_LIMIT = 1 << 30


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool, left: int) -> Tensor:
    """q [B, Sq, Hq, D], k [B, Sk, Hkv, D], v [B, Sk, Hkv, Dv] -> [B, Sq, Hq, Dv], aligned bottom-right.

    A query sees `left` keys before its own position, and none after it if causal.
    """
    q, k, v = (x.transpose(1, 2).float() for x in (q, k, v))
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    distance = torch.arange(k.shape[2]) - (torch.arange(q.shape[2])[:, None] + k.shape[2] - q.shape[2])
    allowed = distance >= -left
    if causal:
        allowed &= distance <= 0
    scores = (q @ k.mT * scale).masked_fill(~allowed, float("-inf"))
    out = scores.softmax(-1).masked_fill(~allowed, 0.0) @ v
    return out.transpose(1, 2)


def attend_ragged(
    q: Tensor, k: Tensor, v: Tensor, q_starts: Tensor, k_starts: Tensor, scale: float, causal: bool, left: int
) -> Tensor:
    """The same for sequences one after another: q [T, Hq, D] cut at q_starts, k and v at k_starts."""
    outs = []
    for n in range(len(q_starts) - 1):
        rows, keys = slice(q_starts[n], q_starts[n + 1]), slice(k_starts[n], k_starts[n + 1])
        outs.append(attend(q[None, rows], k[None, keys], v[None, keys], scale, causal, left)[0])
    return torch.cat(outs)
