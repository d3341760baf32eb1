"""Needle inputs: one permitted key at an edge dominates each row, where a forbidden one would even more."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SHARP_SCORE = 100.0  # leaves nothing of the other keys, and its exponential is beyond float32
LOW_SCORE = {"float32": 40.0, "float16": 110.0, "bfloat16": 110.0}
"""Below 0, so that nothing is left beside a score of 0; and beyond float32's exponents, where the dtype is
coarse enough for the rounding of such scores not to show."""
LOW_SCORE_OF_CODES = 16.0
"""Of keys that are stored as codes: read back they are not numbers of the dtype, and careful code rounds them to it."""
COMMON_CHANNEL_FROM = 8  # head size from which one channel may be the same in all keys
TURNS = 5


@dataclass(frozen=True)
class Rows:
    """What each query row may see, in tensors that broadcast to [B, Hq, Sq].

    first, last: its permitted keys, last one past the end. forbidden_above: whether there is a key at `last`, that
    it must not see. turn: which of the five kinds of needle the row gets, a whole number taken modulo five.
    """

    first: Tensor
    last: Tensor
    forbidden_above: Tensor
    turn: Tensor


def hide(
    q: Tensor,
    k: Tensor,
    rows: Rows,
    *,
    scale: float,
    score: float,
    soft_score: float,
    low_score: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Queries [B, Hq, Sq, D] and keys [B, Hkv, Sk, D] with needles, from random ones.

    By turns, rows find the last key of their range, its first, or one at an edge of a tile or page (a
    multiple of 16, or one before); the forbidden key follows the range or precedes it. In turn 0 the key
    weighs about as much as all others together (`soft_score`), so that it shows if it counts twice. In turn 4
    all keys score about equally low, so that anything which is no key would dominate.
    """
    batch, heads = q.shape[0], q.shape[1]
    k = k * (math.sqrt(q.shape[3]) / k.norm(dim=-1, keepdim=True))
    shape = np.broadcast_shapes(rows.turn.shape, q.shape[:3])  # torch's own imports sympy, which takes seconds
    turn = rows.turn.expand(shape) % TURNS

    def chance() -> Tensor:
        return torch.rand(shape, generator=generator, device=generator.device)

    inside = (rows.first + chance() * (rows.last - rows.first)).long()
    tile_edge = inside - inside % 16 - (chance() < 0.5).long()
    target = torch.where(turn == 1, rows.first, torch.where(turn == 3, tile_edge, rows.last - 1))
    target = torch.minimum(torch.maximum(target, rows.first), rows.last - 1)
    forbidden = torch.where((chance() < 0.6) & rows.forbidden_above, rows.last, rows.first - 1)

    sequence = torch.arange(batch, device=k.device)[:, None, None]
    kv_head = torch.arange(heads, device=k.device)[:, None] // (heads // k.shape[1])

    def key_at(index: Tensor) -> Tensor:
        chosen = k[sequence, kv_head, index.clamp(0, k.shape[2] - 1)]
        return torch.where((index >= 0)[..., None], chosen, 0.0)

    unit = scale * q.shape[3]  # the score of a query equal to a key
    scores = torch.where(turn == 0, min(score, soft_score), score)[..., None]
    sharp = scores * (key_at(target) + 1.5 * key_at(forbidden)) / unit + 0.1 * q
    if q.shape[3] < COMMON_CHANNEL_FROM:
        return sharp, k
    k[..., 0] = 1.0
    q = q.clone()
    q[..., 0] = -min(score, low_score) / scale
    return torch.where((turn == 4)[..., None], q, sharp), k
