"""Attention with wrong scores, a wrong softmax, or too little precision."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.ops._shared.needles import COMMON_CHANNEL_FROM
from attnlab.bench.ops.attention.case import AttentionCase, AttentionInputs

from .collection import ATTENTION_DEFECTS, always, chooses, longest, pairs
from .honest import Attention, Online16, Unnormalised

broken = ATTENTION_DEFECTS.broken


def is_scaled(case: AttentionCase) -> bool:
    return chooses(case) and case.head_dim > 1


def is_float32(case: AttentionCase) -> bool:
    return case.dtype == "float32"


def shows_half_sums(case: AttentionCase) -> bool:
    """float16 sums stand out of float32's rounding always, out of float16's over long rows."""
    return is_float32(case) or (case.dtype == "float16" and longest(case) >= 2000)


@broken(is_scaled)
class NoScale(Attention):
    """Scores are not scaled."""

    def scale(self, inputs: AttentionInputs) -> float:
        return 1.0


@broken(is_scaled)
class ScaleTwice(Attention):
    """Scores are scaled twice."""

    def scale(self, inputs: AttentionInputs) -> float:
        return inputs.scale**2


@broken(chooses)
class ScaleTwoPercentUp(Attention):
    """The scale is 2 % too large."""

    def scale(self, inputs: AttentionInputs) -> float:
        return inputs.scale * 1.02


@broken(chooses)
class ScaleTwoPercentDown(Attention):
    """The scale is 2 % too small."""

    def scale(self, inputs: AttentionInputs) -> float:
        return inputs.scale * 0.98


@broken(lambda case: chooses(case) and case.v_head_dim != case.head_dim)
class ScaleOfValues(Attention):
    """The scale is worked out from the values' head size."""

    def scale(self, inputs: AttentionInputs) -> float:
        return float(inputs.v.shape[-1] ** -0.5)


def turns(case: AttentionCase) -> int:
    """How many turns of the needles the rows of a case take, of five."""
    return case.batch + case.q_heads + max(q_len for q_len, _ in case.sequences) - 2


@broken(lambda case: turns(case) >= 2)
class NoMaximum(Unnormalised):
    """Exponentials of the scores as they are."""

    def weights(self, scores: Tensor, permitted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights = scores.exp() * permitted
        return weights, weights.sum(-1, keepdim=True), torch.zeros_like(weights)


def has_low_rows(case: AttentionCase) -> bool:
    """Some row of the needles scores too low for float32's exponents."""
    return not is_float32(case) and case.head_dim >= COMMON_CHANNEL_FROM and turns(case) >= 5


@broken(has_low_rows)
class MaximumFromZero(Unnormalised):
    """The running maximum starts at 0 in place of -inf, so that a row of low scores underflows."""

    def weights(self, scores: Tensor, permitted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        top = scores.masked_fill(~permitted, -torch.inf).amax(-1, keepdim=True).clamp_min(0.0)
        weights = (scores - top).exp() * permitted
        return weights, weights.sum(-1, keepdim=True), top


@broken(chooses)
class NotNormalised(Unnormalised):
    """The sum of exponentials is forgotten."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        return self.weigh(self.weights(scores, permitted)[0], v)


@broken(always)
class OneInSum(Unnormalised):
    """The sum of exponentials starts at 1."""

    def weights(self, scores: Tensor, permitted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights, total, top = super().weights(scores, permitted)
        return weights, total + 1.0, top


def shares_a_key(case: AttentionCase) -> bool:
    """Some key is seen by two queries."""
    return bool((pairs(Attention(), case).sum(0) > 1).any())


@broken(lambda case: chooses(case) or shares_a_key(case))
class SoftmaxOverQueries(Attention):
    """Probabilities sum to one over the queries."""

    def probabilities(self, scores: Tensor, permitted: Tensor) -> Tensor:
        return scores.masked_fill(~permitted, -torch.inf).softmax(-2).nan_to_num(0.0)


@broken(chooses)
class MeanOfValues(Attention):
    """Every permitted key weighs the same."""

    def probabilities(self, scores: Tensor, permitted: Tensor) -> Tensor:
        return super().probabilities(torch.zeros_like(scores), permitted)


@broken(chooses)
class LargestOnly(Attention):
    """The key of the largest score takes all."""

    def probabilities(self, scores: Tensor, permitted: Tensor) -> Tensor:
        return super().probabilities(scores * 1e4, permitted)


@broken(shows_half_sums)
class HalfSums(Online16):
    """Scores, sums and the output are accumulated in float16, sixteen channels or keys at a time."""

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        total = torch.zeros(*q.shape[:-1], k.shape[-2])
        for a, b in zip(q.split(16, -1), k.split(16, -1), strict=True):
            total = (total + a @ b.mT).half().float()
        return total * scale

    def accumulate(self, so_far: Tensor, old: Tensor, added: Tensor) -> Tensor:
        return super().accumulate(so_far, old, added).half().float()


def sums_long_rows(case: AttentionCase) -> bool:
    """Every row sees so many keys that parts of its sum are far larger than it."""
    return is_float32(case) or (case.mask.kind == "full" and not case.packed and case.kv_len >= 2000)


@broken(lambda case: chooses(case) and sums_long_rows(case))
class ValuesInEightParts(Attention):
    """Values are summed in eight parts of the keys, each rounded to bfloat16, then added in float32."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        p = self.probabilities(scores, permitted).to(v.dtype).float()
        parts = zip(p.tensor_split(8, -1), v.float().tensor_split(8, -2), strict=True)
        return torch.stack([(some @ values).bfloat16().float() for some, values in parts]).sum(0)


@broken(is_float32)
class TensorFloat32(Attention):
    """Operands of both products are rounded to ten bits, as tensor cores do unless told otherwise."""

    def scores(self, q: Tensor, k: Tensor, scale: float) -> Tensor:
        return ten_bits(q) @ ten_bits(k).mT * scale

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        return ten_bits(self.probabilities(scores, permitted)) @ ten_bits(v)


@broken(is_float32)
class ComputedInBfloat16(Attention):
    """float32 inputs are cast down, as autocast does."""

    def run(self, inputs: AttentionInputs, state: object = None) -> Tensor:
        low = (x.bfloat16() for x in (inputs.q, inputs.k, inputs.v))
        return super().run(AttentionInputs(*low, inputs.mask, inputs.packed, inputs.scale)).float()


def ten_bits(x: Tensor) -> Tensor:
    """float32 rounded to a mantissa of ten bits."""
    return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)
