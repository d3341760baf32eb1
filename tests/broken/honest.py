"""Honest attention in plain torch, every step a seam that a broken implementation can replace."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops.attention.case import AttentionInputs


class Attention:
    """Eager, float32 inside, normalised probabilities and the output rounded to the inputs' dtype.

    It finds the permitted pairs by arithmetic of its own, so that it also checks the contract's masks.
    """

    ahead = 0  # keys after a query's own position that a causal mask lets through
    widen = 0  # keys more than a window should have

    def prepare(self, case: Any, inputs: AttentionInputs) -> Any:
        return None

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        """q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv] -> [B, Hq, Sq, Dv] in q's dtype."""
        k, v = self.keys_values(inputs)
        scores = self.scores(inputs.q.float(), k.float(), self.scale(inputs))
        out = self.attend(scores, self.permitted(inputs), v)
        return out.to(inputs.q.dtype)

    def scale(self, inputs: AttentionInputs) -> float:
        return inputs.scale

    def keys_values(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        """Keys and values of each query head, [B, Hq, Sk, …]."""
        heads = self.kv_head(torch.arange(inputs.q.shape[1]), inputs)
        return inputs.k[:, heads], inputs.v[:, heads]

    def kv_head(self, q_head: Tensor, inputs: AttentionInputs) -> Tensor:
        """The key-value head that serves each query head."""
        return q_head // (inputs.q.shape[1] // inputs.k.shape[1])

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return q @ k.mT * scale

    def permitted(self, inputs: AttentionInputs) -> Tensor:
        """Boolean [Sq, Sk]."""
        position, key = self.positions(inputs)
        allowed = self.same_sequence(inputs)
        if inputs.mask.is_causal:
            allowed = allowed & (key <= position + self.ahead)
        if inputs.mask.window is not None:
            allowed = allowed & (key > position - inputs.mask.window - self.widen)
        return allowed

    def positions(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        """The key position of every query [Sq, 1], aligned bottom-right, and of every key [1, Sk]."""
        q_len, kv_len = inputs.q.shape[2], inputs.k.shape[2]
        return torch.arange(q_len)[:, None] + kv_len - q_len, torch.arange(kv_len)[None, :]

    def same_sequence(self, inputs: AttentionInputs) -> Tensor:
        """Boolean [Sq, Sk]: query and key are of one packed sequence."""
        q_len, kv_len = inputs.q.shape[2], inputs.k.shape[2]
        if inputs.packed is None:
            return torch.ones(q_len, kv_len, dtype=torch.bool)
        number = torch.arange(len(inputs.packed) - 1).repeat_interleave(inputs.packed.diff())
        return number[:, None] == number[None, :]

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        p = self.probabilities(scores, permitted)
        return p.to(v.dtype).float() @ v.float()

    def probabilities(self, scores: Tensor, permitted: Tensor) -> Tensor:
        """Softmax over the permitted keys, [B, Hq, Sq, Sk]; zeros in a row without any."""
        return scores.masked_fill(~permitted, -math.inf).softmax(-1).masked_fill(~permitted, 0.0)


class Unnormalised(Attention):
    """As fused kernels do: exp(score - maximum of the row) is rounded, and the sum divided by at the end."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        weights, total, _ = self.weights(scores, permitted)
        return self.weigh(weights, v) / total.masked_fill(total == 0, 1.0)

    def weights(self, scores: Tensor, permitted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """exp(score - maximum), its sum and the maximum of each row; a row without keys has sum 0."""
        scores = scores.masked_fill(~permitted, -math.inf)
        top = scores.amax(-1, keepdim=True)
        weights = self.exp(scores - top.masked_fill(top == -math.inf, 0.0))
        return weights, weights.sum(-1, keepdim=True), top

    def exp(self, x: Tensor) -> Tensor:
        return x.exp()

    def weigh(self, weights: Tensor, v: Tensor) -> Tensor:
        return weights.to(v.dtype).float() @ v.float()


class BaseTwo(Unnormalised):
    """Exponentials of base two, with log2(e) folded into the scale."""

    def scale(self, inputs: AttentionInputs) -> float:
        return inputs.scale * math.log2(math.e)

    def exp(self, x: Tensor) -> Tensor:
        return x.exp2()


class ScaledQueries(BaseTwo):
    """The folded scale is multiplied into the queries, in float32."""

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return (q * scale) @ k.mT


class RoundedSum(Unnormalised):
    """Divides by the sum of the rounded weights."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        weights, _, _ = self.weights(scores, permitted)
        total = weights.to(v.dtype).float().sum(-1, keepdim=True)
        return self.weigh(weights, v) / total.masked_fill(total == 0, 1.0)


class Backwards(Unnormalised):
    """Sums over keys and channels in the opposite order."""

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return q.flip(-1) @ k.flip(-1).mT * scale

    def weigh(self, weights: Tensor, v: Tensor) -> Tensor:
        return super().weigh(weights.flip(-1), v.flip(-2))


class FullProbabilities(Attention):
    """Probabilities stay in float32: better than asked."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        return self.probabilities(scores, permitted) @ v.float()


class Online(BaseTwo):
    """FlashAttention's algorithm: running maximum, sum and output over tiles of keys."""

    tile = 64

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        out = torch.zeros(*scores.shape[:-1], v.shape[-1])
        total = torch.zeros(*scores.shape[:-1], 1)
        top = torch.full_like(total, -math.inf)
        for start in self.starts(scores.shape[-1]):
            part = slice(start, start + self.tile)
            weights, added, tile_top = self.weights(scores[..., part], permitted[:, part])
            new_top = torch.maximum(top, tile_top)
            known = new_top.masked_fill(new_top == -math.inf, 0.0)
            old, new = self.exp(top - known), self.exp(tile_top - known)
            out = self.accumulate(out, old, self.weigh(weights, v[..., part, :]) * new)
            total = self.accumulate(total, old, added * new)
            top = new_top
        return out / total.masked_fill(total == 0, 1.0)

    def starts(self, kv_len: int) -> list[int]:
        """Where the tiles begin that are looked at."""
        return list(range(0, kv_len, self.tile))

    def accumulate(self, so_far: Tensor, old: Tensor, added: Tensor) -> Tensor:
        return so_far * old + added


class Online16(Online):
    """Tiles of 16 keys."""

    tile = 16


class Online128Reversed(Online):
    """Tiles of 128 keys, the last first."""

    tile = 128

    def starts(self, kv_len: int) -> list[int]:
        return super().starts(kv_len)[::-1]


class SplitKeys(Unnormalised):
    """As flash-decoding does: parts of the keys apart, rounded to the dtype, joined by their log-sum-exp."""

    parts = 3

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        size = -(-scores.shape[-1] // self.parts)
        outs, sums = [], []
        for start in range(0, scores.shape[-1], size):
            part = slice(start, start + size)
            weights, total, top = self.weights(scores[..., part], permitted[:, part])
            outs.append(self.weigh(weights, v[..., part, :]) / total.masked_fill(total == 0, 1.0))
            sums.append(total.log() + top)
        return self.join(torch.stack(outs), torch.stack(sums))

    def join(self, outs: Tensor, sums: Tensor) -> Tensor:
        """outs [N, B, Hq, Sq, Dv], sums [N, B, Hq, Sq, 1]."""
        shares = sums.softmax(0).nan_to_num(0.0)
        return (outs * shares).sum(0)


HONEST = (
    Attention,
    Unnormalised,
    BaseTwo,
    ScaledQueries,
    RoundedSum,
    Backwards,
    FullProbabilities,
    Online,
    Online16,
    Online128Reversed,
    SplitKeys,
)
