"""Attention that rounds scores as it declares, and what hides behind such a declaration."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops.attention.case import AttentionInputs

from .decoding import Decode
from .honest import Attention, Online


class TransformersEager(Attention):
    """Scores are rounded to the dtype before and after scaling; the softmax is in float32."""

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return self.low((self.low(q @ k.mT)) * scale)

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        self.dtype = inputs.q.dtype
        return super().run(inputs, state)

    def low(self, x: Tensor) -> Tensor:
        return x.to(self.dtype).float()


class InItsOwnType(TransformersEager):
    """The same by products of the dtype itself, in whatever order a library sums them."""

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return ((q.to(self.dtype) @ k.to(self.dtype).mT) * scale).float()


class ScaledFirst(TransformersEager):
    """Rounded once, after scaling."""

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return self.low(q @ k.mT * scale)


class RoundedDecode(Decode):
    """Decoding whose scores are rounded as transformers has them."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        raise NotImplementedError

    def sequence(self, inputs: Any, n: int, length: int) -> Tensor:
        tokens, dtype = torch.arange(length), inputs.q.dtype
        k = self.tokens(inputs.cache, inputs.cache.keys, n, tokens).to(dtype).float()
        v = self.tokens(inputs.cache, inputs.cache.values, n, tokens).to(dtype).float()
        heads = self.kv_head(torch.arange(inputs.q.shape[1]), inputs)
        scores = (inputs.q[n].float() @ k[heads].mT).to(dtype).float() * inputs.scale
        masked = scores.to(dtype).float().masked_fill(~self.permitted(inputs, length), -math.inf)
        return masked.softmax(-1).nan_to_num(0.0).to(dtype).float() @ v[heads]


class Abused(TransformersEager):
    """Declares the rounding, and is wrong beside it."""


class TwoPercentBeside(Abused):
    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return super().scores(q, k, 1.02 * scale)


class OneKeyAheadBeside(Abused):
    ahead = 1


class KeyLostBeside(Abused):
    def permitted(self, inputs: AttentionInputs) -> Tensor:
        allowed = super().permitted(inputs).clone()
        allowed[:, allowed.shape[1] // 2] = False
        return allowed


class EightBitScores(Abused):
    """Rounded more than was declared."""

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return (super().scores(q, k, scale) * 8).round() / 8


class NothingRounded(Online):
    """Declares what it does not do."""


ABUSES = (TwoPercentBeside, OneKeyAheadBeside, KeyLostBeside, EightBitScores, NothingRounded)
