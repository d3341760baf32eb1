"""Honest attention with soft caps, sinks, biases, norms and every mask, in plain torch, every step a seam."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops.attention.case import AttentionInputs

EPS = 1e-6
FARTHEST = 128


class Variants:
    """Eager, float32 inside; normed heads, probabilities and the output are rounded to the inputs' dtype.

    Places, masks, buckets and norms are by arithmetic of its own, so that it also checks the contract's.
    """

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        """q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv] -> [B, Hq, Sq, Dv] in q's dtype."""
        scores, v = self.scores(inputs), self.of_query_heads(inputs.v.float(), inputs)
        return self.attend(scores, self.permitted(inputs), v, self.sinks(inputs), inputs.v.dtype).to(inputs.v.dtype)

    def scores(self, inputs: AttentionInputs) -> Tensor:
        q = self.normed(inputs.q, self.q_norm(inputs))
        k = self.of_query_heads(self.normed(inputs.k, self.k_norm(inputs)), inputs)
        return self.changed(q @ k.mT, inputs)

    def of_query_heads(self, x: Tensor, inputs: AttentionInputs) -> Tensor:
        return x.repeat_interleave(inputs.q.shape[1] // inputs.k.shape[1], 1)

    def q_norm(self, inputs: AttentionInputs) -> Tensor | None:
        return inputs.q_norm

    def k_norm(self, inputs: AttentionInputs) -> Tensor | None:
        return inputs.k_norm

    def normed(self, x: Tensor, weight: Tensor | None) -> Tensor:
        wide = x.float()
        if weight is None:
            return wide
        return (wide / (self.mean_square(wide) + EPS).sqrt() * self.weight(weight)).to(x.dtype).float()

    def mean_square(self, x: Tensor) -> Tensor:
        return x.square().mean(-1, keepdim=True)

    def weight(self, weight: Tensor) -> Tensor:
        return weight.float()

    def changed(self, products: Tensor, inputs: AttentionInputs) -> Tensor:
        """Scale, then cap, then bias."""
        return self.capped(products * self.scale(inputs), inputs) + self.bias(inputs)

    def scale(self, inputs: AttentionInputs) -> float:
        return inputs.scale

    def capped(self, scores: Tensor, inputs: AttentionInputs) -> Tensor:
        cap = inputs.softcap
        return scores if cap is None else cap * (scores / cap).tanh()

    def bias(self, inputs: AttentionInputs) -> Tensor:
        """[Hq, Sq, Sk], or nothing that is 0."""
        table = inputs.bias_table
        if table is None:
            return torch.zeros(())
        if inputs.bias.kind == "dense":
            return table.float()
        distance = self.distance(inputs)
        if inputs.bias.kind == "alibi":
            return -table[:, None, None] * distance.abs()
        return table[:, self.buckets(distance, inputs)]

    def distance(self, inputs: AttentionInputs) -> Tensor:
        position, key = self.places(inputs)
        return key - position

    def buckets(self, distance: Tensor, inputs: AttentionInputs) -> Tensor:
        """As T5 has them, by logarithms."""
        buckets, ahead = inputs.bias.buckets or 0, torch.zeros_like(distance)
        away = (-distance).clamp_min(0)
        if not inputs.mask.is_causal:
            buckets //= 2
            ahead, away = buckets * (distance > 0), distance.abs()
        near = buckets // 2
        steps = (away.clamp_min(near).double() / near).log() / math.log(FARTHEST / near) * (buckets - near)
        far = (near + (steps + 1e-9).floor().long()).clamp_max(buckets - 1)
        return ahead + torch.where(away < near, away, far)

    def starts(self, inputs: AttentionInputs) -> tuple[list[int], list[int]]:
        """Where sequences of queries and of keys begin, and the last one ends."""
        if inputs.packed is None:
            return [0, inputs.q.shape[2]], [0, inputs.k.shape[2]]
        keys = inputs.packed if inputs.packed_keys is None else inputs.packed_keys
        return inputs.packed.tolist(), keys.tolist()

    def numbers(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        """The sequence that each query [Sq, 1] and key [1, Sk] belongs to."""
        q_starts, k_starts = self.starts(inputs)
        return _numbers(q_starts, inputs.q.shape[2])[:, None], _numbers(k_starts, inputs.k.shape[2])[None, :]

    def places(self, inputs: AttentionInputs) -> tuple[Tensor, Tensor]:
        """The position of every query [Sq, 1] among the keys of its sequence, and of every key [1, Sk]."""
        q_starts, k_starts = (torch.tensor(starts) for starts in self.starts(inputs))
        row, column = self.numbers(inputs)
        behind = (k_starts.diff() - q_starts.diff())[row]
        queries, keys = torch.arange(inputs.q.shape[2])[:, None], torch.arange(inputs.k.shape[2])[None, :]
        return queries - q_starts[row] + behind, keys - k_starts[column]

    def permitted(self, inputs: AttentionInputs) -> Tensor:
        """[Sq, Sk]"""
        row, column = self.numbers(inputs)
        position, key = self.places(inputs)
        return (row == column) & self.sees(position, key, inputs)

    def sees(self, position: Tensor, key: Tensor, inputs: AttentionInputs) -> Tensor:
        mask, causal, size = inputs.mask, key <= position, inputs.mask.size or 0
        if mask.kind == "full":
            return torch.ones_like(causal)
        if mask.kind == "window":
            return causal & (key > position - size)
        if mask.kind == "chunked":
            return causal & self.one_chunk(position, key, size)
        if mask.kind == "prefix":
            return causal | self.in_prefix(key, size)
        if mask.kind == "document":
            ends = self.document_ends(torch.tensor(mask.documents).cumsum(0))
            document, other = (torch.bucketize(x.contiguous(), ends, right=True) for x in (position, key))
            return causal & (document == other)
        return self.in_tree(inputs) if mask.kind == "tree" else causal

    def one_chunk(self, position: Tensor, key: Tensor, size: int) -> Tensor:
        return position - position % size == key - key % size

    def in_prefix(self, key: Tensor, size: int) -> Tensor:
        return key < size

    def document_ends(self, ends: Tensor) -> Tensor:
        return ends

    def in_tree(self, inputs: AttentionInputs) -> Tensor:
        nodes, context = inputs.q.shape[2], inputs.k.shape[2] - inputs.q.shape[2]
        seen = torch.zeros(nodes, context + nodes, dtype=torch.bool)
        for node in range(nodes):
            seen[node, [context + other for other in self.path(inputs.mask.parents, node)]] = True
        seen[:, :context] = self.context_seen
        return seen

    context_seen = True

    def path(self, parents: tuple[int, ...], node: int) -> list[int]:
        """A node and those above it."""
        return [node] if node == 0 else [node, *self.path(parents, parents[node - 1])]

    def sinks(self, inputs: AttentionInputs) -> Tensor | None:
        return inputs.sinks

    def attend(
        self, scores: Tensor, permitted: Tensor, v: Tensor, sinks: Tensor | None, rounded: torch.dtype
    ) -> Tensor:
        return self.probabilities(scores, permitted, sinks).to(rounded).float() @ v

    def probabilities(self, scores: Tensor, permitted: Tensor, sinks: Tensor | None) -> Tensor:
        masked = scores.masked_fill(~permitted, -math.inf)
        if sinks is None:
            return masked.softmax(-1).masked_fill(~permitted, 0.0)
        column = sinks[:, None, None].expand(*scores.shape[:-1], 1)
        return torch.cat([column, masked], -1).softmax(-1)[..., 1:]


class OnlineVariants(Variants):
    """Tiles of 16 keys; a sink is the maximum and the sum that the loop begins with."""

    tile = 16

    def attend(
        self, scores: Tensor, permitted: Tensor, v: Tensor, sinks: Tensor | None, rounded: torch.dtype
    ) -> Tensor:
        out, total = torch.zeros(*scores.shape[:-1], v.shape[-1]), torch.zeros(*scores.shape[:-1], 1)
        top = torch.full_like(total, -1e30)
        if sinks is not None:
            top, total = sinks[:, None, None].expand_as(top), torch.ones_like(total)
        for start in range(0, scores.shape[-1], self.tile):
            part = slice(start, start + self.tile)
            masked = scores[..., part].masked_fill(~permitted[:, part], -math.inf)
            new = torch.maximum(top, masked.amax(-1, keepdim=True))
            weights, old = (masked - new).exp(), (top - new).exp()
            out = out * old + weights.to(rounded).float() @ v[..., part, :]
            total, top = total * old + weights.sum(-1, keepdim=True), new
        return out / total.masked_fill(total == 0, 1.0)


class SinksAfterwards(Variants):
    """Without sinks first; then each row by its share, from its log-sum-exp."""

    def attend(
        self, scores: Tensor, permitted: Tensor, v: Tensor, sinks: Tensor | None, rounded: torch.dtype
    ) -> Tensor:
        out = super().attend(scores, permitted, v, None, rounded)
        if sinks is None:
            return out
        total = scores.masked_fill(~permitted, -math.inf).logsumexp(-1, keepdim=True)
        return out * (total - sinks[:, None, None]).sigmoid()


class CapsInHalves(Variants):
    """The cap by exponentials: tanh x = 1 - 2 / (e^2x + 1); norms by the reciprocal root of sums."""

    def capped(self, scores: Tensor, inputs: AttentionInputs) -> Tensor:
        cap = inputs.softcap
        return scores if cap is None else cap - 2 * cap / ((2 * scores / cap).exp() + 1)

    def mean_square(self, x: Tensor) -> Tensor:
        return x.square().sum(-1, keepdim=True) / x.shape[-1]


HONEST_VARIANTS = (Variants, OnlineVariants, SinksAfterwards, CapsInHalves)


def _numbers(starts: list[int], total: int) -> Tensor:
    """The sequence of each token; tokens behind the last end are of none."""
    numbers = torch.full((total,), len(starts) - 2)
    for number, (start, end) in enumerate(pairwise(starts)):
        numbers[start:end] = number
    return numbers
