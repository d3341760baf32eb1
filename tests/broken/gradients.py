"""Honest gradients of attention in plain torch, every step a seam, and how honest code differs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops.attention_backward import AttentionBackwardInputs

from .honest import Attention

Three = tuple[Tensor, Tensor, Tensor]


class Gradients(Attention):
    """float32 inside; P, dS and gradients rounded; P from the forward's log-sum-exp, delta from its out."""

    def run(self, inputs: AttentionBackwardInputs, state: Any = None) -> Three:  # type: ignore[override]
        """dq [B, Hq, Sq, D], dk [B, Hkv, Sk, D], dv [B, Hkv, Sk, Dv] in the inputs' dtype."""
        k, v = (x.float() for x in self.keys_values(inputs))
        q, dout = inputs.q.float(), self.dout(inputs).float()
        p = self.weights_of(self.scores(q, k, self.scale(inputs)), self.permitted(inputs), inputs)
        ds = self.rounded(self.score_gradient(p, dout @ v.mT, self.delta(inputs, p, v)), inputs)
        p = self.rounded(p, inputs)
        grads = (
            ds @ k * inputs.scale,
            self.summed(ds.mT @ q * inputs.scale, inputs),
            self.summed(p.mT @ dout, inputs),
        )
        return self.finish(grads, inputs)

    def finish(self, grads: Three, inputs: AttentionBackwardInputs) -> Three:
        dq, dk, dv = (grad.to(inputs.q.dtype) for grad in grads)
        return dq, dk, dv

    def dout(self, inputs: AttentionBackwardInputs) -> Tensor:
        return inputs.dout

    def weights_of(self, scores: Tensor, permitted: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        lse = inputs.lse[..., None].masked_fill(inputs.lse[..., None] == -math.inf, 0.0)
        return (scores - lse).exp().masked_fill(~permitted, 0.0)

    def delta(self, inputs: AttentionBackwardInputs, p: Tensor, v: Tensor) -> Tensor:
        """[B, Hq, Sq, 1]."""
        return (self.dout(inputs).float() * inputs.out.float()).sum(-1, keepdim=True)

    def score_gradient(self, p: Tensor, dp: Tensor, delta: Tensor) -> Tensor:
        return p * (dp - delta)

    def rounded(self, x: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return x.to(inputs.q.dtype).float()

    def summed(self, of_query_heads: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        """[B, Hq, Sk, …] -> [B, Hkv, Sk, …]: summed over the query heads that share a key-value head."""
        batch, _, *rest = of_query_heads.shape
        heads = self.kv_head(torch.arange(inputs.q.shape[1]), inputs)
        return torch.zeros(batch, inputs.k.shape[1], *rest).index_add_(1, heads, of_query_heads)


class SoftmaxAgain(Gradients):
    """The softmax is worked out anew and delta from it, as automatic differentiation does."""

    def weights_of(self, scores: Tensor, permitted: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return self.probabilities(scores, permitted)

    def score_gradient(self, p: Tensor, dp: Tensor, delta: Tensor) -> Tensor:
        return p * (dp - (p * dp).sum(-1, keepdim=True))


class BaseTwoGradients(Gradients):
    """Exponentials of base two."""

    def scale(self, inputs: Any) -> float:
        return float(inputs.scale) * math.log2(math.e)

    def weights_of(self, scores: Tensor, permitted: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        lse = inputs.lse[..., None].masked_fill(inputs.lse[..., None] == -math.inf, 0.0) * math.log2(math.e)
        return (scores - lse).exp2().masked_fill(~permitted, 0.0)


class UnroundedGradients(Gradients):
    """P and dS stay in float32: better than asked."""

    def rounded(self, x: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return x


class RoundedPerHead(Gradients):
    """dk and dv of each query head are rounded before they are summed over the group."""

    def summed(self, of_query_heads: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return super().summed(self.rounded(of_query_heads, inputs), inputs)


HONEST_GRADIENTS = (Gradients, SoftmaxAgain, BaseTwoGradients, UnroundedGradients, RoundedPerHead)
