"""What the stand-in packages compute with: attention in plain torch, in FlashAttention's layout."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

NO_LIMIT = 1 << 30


@dataclass(frozen=True)
class Added:
    """What is added to attention: a cap, slopes [Hq], sinks [Hq], chunks, and what is seen or added by pair."""

    softcap: float = 0.0
    slopes: Tensor | None = None
    sinks: Tensor | None = None
    chunk: int = 0
    seen: Tensor | None = None
    bias: Tensor | None = None


def attend(
    q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool, left: int, added: Added | None = None
) -> Tensor:
    """q [B, Sq, Hq, D], k [B, Sk, Hkv, D], v [B, Sk, Hkv, Dv] -> [B, Sq, Hq, Dv], aligned bottom-right.

    A query sees `left` keys before its own position, and none after it if causal.
    """
    added = added or Added()
    q, k, v = (x.transpose(1, 2).float() for x in (q, k, v))
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    key, position = torch.arange(k.shape[2]), torch.arange(q.shape[2])[:, None] + k.shape[2] - q.shape[2]
    distance = key - position
    allowed = distance >= -left
    if causal:
        allowed &= distance <= 0
    if added.chunk:
        allowed &= key // added.chunk == position // added.chunk
    if added.seen is not None:
        allowed = added.seen.view(allowed.shape)
    scores = q @ k.mT * scale
    if added.softcap:
        scores = added.softcap * (scores / added.softcap).tanh()
    if added.slopes is not None:
        assert added.slopes.dtype is torch.float32
        scores = scores - added.slopes[:, None, None] * distance.abs()
    if added.bias is not None:
        scores = scores + added.bias.float()
    scores = scores.masked_fill(~allowed, float("-inf"))
    if added.sinks is not None:
        column = added.sinks.float()[:, None, None].expand(*scores.shape[:-1], 1)
        p = torch.cat([column, scores], -1).softmax(-1)[..., 1:]
    else:
        p = scores.softmax(-1).nan_to_num(0.0).masked_fill(~allowed, 0.0)
    return (p @ v).transpose(1, 2)


def attend_ragged(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_starts: Tensor,
    k_starts: Tensor,
    scale: float,
    causal: bool,
    left: int,
    added: Added | None = None,
) -> Tensor:
    """The same for sequences one after another: q [T, Hq, D] cut at q_starts, k and v at k_starts.

    What is seen by pair comes flat, one sequence after another.
    """
    outs, used = [], 0
    for n in range(len(q_starts) - 1):
        rows, keys = slice(q_starts[n], q_starts[n + 1]), slice(k_starts[n], k_starts[n + 1])
        own = added or Added()
        if own.seen is not None:
            pairs = int(q_starts[n + 1] - q_starts[n]) * int(k_starts[n + 1] - k_starts[n])
            own, used = replace(own, seen=own.seen[used : used + pairs]), used + pairs
        outs.append(attend(q[None, rows], k[None, keys], v[None, keys], scale, causal, left, own)[0])
    return torch.cat(outs)
