"""Inputs on which every key counts: each row weighs one key in so many, all alike, and together rows weigh them all.

A kernel that loses one key of 131,072, at whatever edge of a tile, page or split, or counts it twice, is off by one
weight in the row that weighs it: by √(D / M) of the output's size in one channel, of head size D and M keys that weigh.
In bfloat16 that shows up to some 30,000 keys a row.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAD = 3.0  # in one channel, of keys that weigh; that of others there is 0
LARGEST = 2.5  # of any other number of a key, so that a scale of a token is that of the lead
LEAD_SCORE = 30.0  # leaves nothing of 131,072 keys of score 0
MOST_CODES = 32
UNEVEN = 0.05  # a part of queries that makes weights differ by some percent
UNEVEN_VALUES = 0.25


def comb(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, generator: torch.Generator, heads_share: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [B, Hq, Sq, D], keys and values [B, Hkv, S, D] in float32 that weigh all keys, made of random ones.

    Each query carries a code, and finds the keys of that code. Key s has code s mod C. heads_share: a key has a code in
    one key-value head only, s // C mod Hkv, so that a row weighs fewer; for few rows over many keys.
    """
    kv_heads, length, head_dim = k.shape[1:]
    rows = q.shape[1] // kv_heads * q.shape[2]
    codes = max(1, min(rows, head_dim // 2, MOST_CODES))
    k = k.clamp(-LARGEST, LARGEST)
    k[..., :codes] = 0.0
    place = torch.arange(length, device=k.device)
    for head in range(kv_heads):
        own = place[place // codes % kv_heads == head] if heads_share else place
        k[:, head, own, own % codes] = LEAD
    q = UNEVEN * q
    q[..., :codes] = 0.0
    code = torch.arange(rows, device=q.device) % codes
    lead = torch.zeros(rows, head_dim, device=q.device).scatter_(1, code[:, None], LEAD_SCORE / (LEAD * scale))
    q = q + lead.view(q.shape[1] // kv_heads, q.shape[2], head_dim).repeat(kv_heads, 1, 1)
    return q, k, one_channel_each(v, generator)


def one_channel_each(v: Tensor, generator: torch.Generator) -> Tensor:
    """Values [..., Dv] of size about one, nearly all of it in one channel of each key, drawn by chance."""
    width = v.shape[-1]
    channel = torch.randint(width, (*v.shape[:-1], 1), generator=generator, device=generator.device)
    sign = torch.where(torch.rand(channel.shape, generator=generator, device=generator.device) < 0.5, -1.0, 1.0)
    return (UNEVEN_VALUES * v).scatter_add(-1, channel, sign * math.sqrt(width))
