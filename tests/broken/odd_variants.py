"""More of what a kernel may do wrongly with caps, sinks, biases and norms: mistakes that are easily made."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops._shared.variant_probes import sinks_matter, weighs
from attnlab.bench.ops.attention.case import AttentionInputs

from .broken_variants import biased, capped, learned, normed, norms_keys, relative
from .variants import Variants
from .wrong_pairs import Wrong, pairs

ODD_SCORES: list[Wrong] = []


def odd(applies: Callable[[Any], bool]) -> Callable[[type], type]:
    def add(target: type) -> type:
        ODD_SCORES.append((target, applies))
        return target

    return add


def is_prompt(case: Any) -> bool:
    return hasattr(case, "kv_len")


def has_blind_rows(case: Any) -> bool:
    """Some query sees nothing, in a sequence that has queries."""
    return any(bool((~seen.any(-1)).any()) for seen in pairs(Variants(), case))


@odd(capped)
class CapTwice(Variants):
    def capped(self, scores: Tensor, inputs: AttentionInputs) -> Tensor:
        return super().capped(super().capped(scores, inputs), inputs)


@odd(capped)
class CapByCutting(Variants):
    """Scores past the cap are cut off, others stay."""

    def capped(self, scores: Tensor, inputs: AttentionInputs) -> Tensor:
        return scores if inputs.softcap is None else scores.clamp(-inputs.softcap, inputs.softcap)


@odd(capped)
class CapInBaseTwo(Variants):
    """Scores are in base 2 when they meet the cap, which is not."""

    def capped(self, scores: Tensor, inputs: AttentionInputs) -> Tensor:
        return super().capped(scores / math.log(2), inputs) * math.log(2)


@odd(capped)
class CapWithoutItsFactor(Variants):
    """tanh(s / c), not multiplied by c."""

    def capped(self, scores: Tensor, inputs: AttentionInputs) -> Tensor:
        return scores if inputs.softcap is None else (scores / inputs.softcap).tanh()


class OfSinks(Variants):
    """A wrong logit for each query head."""

    def wrong(self, sinks: Tensor, inputs: AttentionInputs) -> Tensor:
        raise NotImplementedError

    def sinks(self, inputs: AttentionInputs) -> Tensor | None:
        return None if inputs.sinks is None else self.wrong(inputs.sinks, inputs)


@odd(lambda case: learned(case) and case.q_heads > case.kv_heads)
class SinkOfTheKeyValueHead(OfSinks):
    """The number of the key-value head looks the sink up."""

    def wrong(self, sinks: Tensor, inputs: AttentionInputs) -> Tensor:
        return sinks[torch.arange(len(sinks)) // (len(sinks) // inputs.k.shape[1])]


@odd(lambda case: learned(case) and 1 < case.kv_heads < case.q_heads)
class SinksByModulo(OfSinks):
    """Heads of a group lie far apart."""

    def wrong(self, sinks: Tensor, inputs: AttentionInputs) -> Tensor:
        return sinks.view(-1, inputs.k.shape[1]).T.flatten()


@odd(lambda case: learned(case) and capped(case))
class SinkCapped(OfSinks):
    def wrong(self, sinks: Tensor, inputs: AttentionInputs) -> Tensor:
        return self.capped(sinks, inputs)


@odd(learned)
class SinkInBaseTwo(OfSinks):
    """Two to the power of it."""

    def wrong(self, sinks: Tensor, inputs: AttentionInputs) -> Tensor:
        return sinks * math.log(2)


@odd(learned)
class SinkIsZero(OfSinks):
    """Softmax off by one, whatever was learned."""

    def wrong(self, sinks: Tensor, inputs: AttentionInputs) -> Tensor:
        return torch.zeros_like(sinks)


@odd(lambda case: sinks_matter(case) and case.mask.kind in ("window", "chunked"))
class SinkForgottenBesideAWindow(OfSinks):
    """A kernel for masks that leave early keys out does not know of sinks."""

    def sinks(self, inputs: AttentionInputs) -> Tensor | None:
        return None if inputs.mask.kind in ("window", "chunked") else inputs.sinks


@odd(sinks_matter)
class SinkIsTheFirstKey(Variants):
    """Its weight is given to the first value, as of attention sinks that are tokens."""

    def attend(
        self, scores: Tensor, permitted: Tensor, v: Tensor, sinks: Tensor | None, rounded: torch.dtype
    ) -> Tensor:
        p = self.probabilities(scores, permitted, sinks)
        rest = (1 - p.sum(-1, keepdim=True)) * permitted.any(-1, keepdim=True)
        return (p.to(rounded).float() @ v) + (rest * v[..., :1, :] if sinks is not None else 0.0)


class OfSums(Variants):
    """The softmax by hand: exponentials less the largest, over their sum."""

    def probabilities(self, scores: Tensor, permitted: Tensor, sinks: Tensor | None) -> Tensor:
        masked = scores.masked_fill(~permitted, -math.inf)
        top = masked.amax(-1, keepdim=True).nan_to_num(neginf=0.0)
        weights = (masked - top).exp()
        total = weights.sum(-1, keepdim=True)
        if sinks is not None:
            total = self.with_sink(total, sinks[:, None, None], top)
        return weights / total.masked_fill(total == 0, 1.0)

    def with_sink(self, total: Tensor, sinks: Tensor, top: Tensor) -> Tensor:
        return total + (sinks - top).exp()


@odd(sinks_matter)
class SinkInTheMaximumAlone(OfSums):
    def with_sink(self, total: Tensor, sinks: Tensor, top: Tensor) -> Tensor:
        return total

    def probabilities(self, scores: Tensor, permitted: Tensor, sinks: Tensor | None) -> Tensor:
        masked = scores.masked_fill(~permitted, -math.inf)
        top = masked.amax(-1, keepdim=True).nan_to_num(neginf=0.0)
        if sinks is not None:
            top = torch.maximum(top, sinks[:, None, None])
        weights = (masked - top).exp()
        total = weights.sum(-1, keepdim=True)
        return weights / total.masked_fill(total == 0, 1.0)


@odd(sinks_matter)
class SinkNotShifted(OfSums):
    """Added to the sum as it is, where that is over the exponential of the largest score."""

    def with_sink(self, total: Tensor, sinks: Tensor, top: Tensor) -> Tensor:
        return total + sinks.exp()


@odd(sinks_matter)
class SinkAsAWeight(OfSums):
    """The logit itself is added, not its exponential."""

    def with_sink(self, total: Tensor, sinks: Tensor, top: Tensor) -> Tensor:
        return total + sinks


class OfBiases(Variants):
    def wrong(self, made: Tensor, inputs: AttentionInputs) -> Tensor:
        raise NotImplementedError

    def bias(self, inputs: AttentionInputs) -> Tensor:
        made = super().bias(inputs)
        return self.wrong(made, inputs) if made.dim() else made


@odd(lambda case: biased(case) and case.q_heads > 1)
class BiasOfReversedHeads(OfBiases):
    def wrong(self, made: Tensor, inputs: AttentionInputs) -> Tensor:
        return made.flip(0)


@odd(lambda case: biased(case) and case.q_heads > 1)
class BiasOfTheFirstHead(OfBiases):
    def wrong(self, made: Tensor, inputs: AttentionInputs) -> Tensor:
        return made[:1]


@odd(lambda case: biased(case) and case.q_heads > case.kv_heads)
class BiasOfTheKeyValueHead(OfBiases):
    def wrong(self, made: Tensor, inputs: AttentionInputs) -> Tensor:
        return made[torch.arange(len(made)) // (len(made) // inputs.k.shape[1])]


@odd(lambda case: biased(case) and case.batch > 1)
class BiasOfTheFirstSequenceAlone(Variants):
    """Not shared over the batch."""

    def changed(self, products: Tensor, inputs: AttentionInputs) -> Tensor:
        alone = (torch.arange(products.shape[0]) == 0)[:, None, None, None]
        return self.capped(products * self.scale(inputs), inputs) + self.bias(inputs) * alone


@odd(biased)
class BiasInBaseTwo(OfBiases):
    """Scores are in base 2 when the bias is added, which is not."""

    def wrong(self, made: Tensor, inputs: AttentionInputs) -> Tensor:
        return made * math.log(2)


@odd(lambda case: biased(case) and case.head_dim > 1)
class BiasScaled(OfBiases):
    def wrong(self, made: Tensor, inputs: AttentionInputs) -> Tensor:
        return made * inputs.scale


@odd(biased)
class BiasTwice(OfBiases):
    def wrong(self, made: Tensor, inputs: AttentionInputs) -> Tensor:
        return 2 * made


@odd(lambda case: case.bias.kind == "alibi" and case.q_heads & (case.q_heads - 1) and weighs(case))
class SlopesOfAnyNumberOfHeads(Variants):
    """2^(-8 (h + 1) / H), where H is no power of two."""

    def bias(self, inputs: AttentionInputs) -> Tensor:
        heads = inputs.q.shape[1]
        slopes = torch.tensor([2.0 ** (-8 * (head + 1) / heads) for head in range(heads)])
        return -slopes[:, None, None] * self.distance(inputs).abs()


@odd(lambda case: case.bias.kind == "alibi" and case.q_heads & (case.q_heads - 1) and weighs(case))
class SlopesInOrder(Variants):
    """Those between are not behind, but sorted among the others."""

    def bias(self, inputs: AttentionInputs) -> Tensor:
        assert inputs.bias_table is not None
        return -inputs.bias_table.sort(descending=True).values[:, None, None] * self.distance(inputs).abs()


def bends(case: Any) -> bool:
    """Where a bias by the key's own place differs by more than a number a row."""
    return case.bias.kind == "alibi" and weighs(case) and (sinks_matter(case) or not case.mask.is_causal)


@odd(bends)
class SlopesByKeysAlone(Variants):
    """The slope times the key's place, which is as good where no key lies ahead and there is no sink."""

    def bias(self, inputs: AttentionInputs) -> Tensor:
        if inputs.bias.kind != "alibi" or inputs.bias_table is None:
            return super().bias(inputs)
        return inputs.bias_table[:, None, None] * self.places(inputs)[1]


def differ(target: type[Variants]) -> Callable[[Any], bool]:
    """Whether some query sees keys of which the buckets are others; and not the only key that it sees."""

    def applies(case: Any) -> bool:
        if not relative(case):
            return False
        wide = [(case.q_len, case.kv_len)] if is_prompt(case) else case.sequences
        for seen, (q_len, kv_len) in zip(pairs(Variants(), case), wide, strict=True):
            q, k = torch.empty(1, 1, q_len, 1), torch.empty(1, 1, kv_len, 1)
            packed = getattr(case, "packed", ())
            if packed:
                return False
            inputs = AttentionInputs(q, k, k, case.mask, None, 1.0, bias=case.bias)
            distance = Variants().distance(inputs)
            other = target().buckets(distance, inputs) != Variants().buckets(distance, inputs)
            if bool((other & seen & (seen.sum(-1, keepdim=True) > 1)).any()):
                return True
        return False

    return applies


class BucketBordersLate(Variants):
    """Where buckets grow, each begins one token late."""

    def buckets(self, distance: Tensor, inputs: AttentionInputs) -> Tensor:
        near = (inputs.bias.buckets or 0) // (2 if inputs.mask.is_causal else 4)
        late = torch.where(distance.abs() >= near, distance - distance.sign(), distance)
        return super().buckets(late, inputs)


class BucketBordersEarly(Variants):
    def buckets(self, distance: Tensor, inputs: AttentionInputs) -> Tensor:
        near = (inputs.bias.buckets or 0) // (2 if inputs.mask.is_causal else 4)
        early = torch.where(distance.abs() >= near, distance + distance.sign(), distance)
        return super().buckets(early, inputs)


class BucketsToHalfTheDistance(Variants):
    """The last bucket begins at 64."""

    def buckets(self, distance: Tensor, inputs: AttentionInputs) -> Tensor:
        near = (inputs.bias.buckets or 0) // (2 if inputs.mask.is_causal else 4)
        share = math.log(128 / near) / math.log(64 / near)
        grown = near * (distance.abs().clamp_min(near) / near) ** share + 1e-6
        return super().buckets(torch.where(distance.abs() < near, distance, distance.sign() * grown.long()), inputs)


class BucketsAllInALine(Variants):
    """A bucket for each distance, up to the last: none grows."""

    def buckets(self, distance: Tensor, inputs: AttentionInputs) -> Tensor:
        buckets = inputs.bias.buckets or 0
        if inputs.mask.is_causal:
            return (-distance).clamp(0, buckets - 1)
        return distance.abs().clamp_max(buckets // 2 - 1) + buckets // 2 * (distance > 0)


for target in (BucketBordersLate, BucketBordersEarly, BucketsToHalfTheDistance, BucketsAllInALine):
    odd(differ(target))(target)


@odd(lambda case: is_prompt(case) and case.bias.kind == "dense" and weighs(case) and case.q_len == case.kv_len > 1)
class DenseBiasTransposed(OfBiases):
    def wrong(self, made: Tensor, inputs: AttentionInputs) -> Tensor:
        return made.mT if inputs.q.shape[2] == inputs.k.shape[2] else made


@odd(lambda case: is_prompt(case) and case.bias.kind == "dense" and weighs(case) and case.q_len > 1)
class DenseBiasOfTheRowBefore(OfBiases):
    def wrong(self, made: Tensor, inputs: AttentionInputs) -> Tensor:
        return made.roll(1, 1) if inputs.bias.kind == "dense" else made


@odd(normed)
class NormOfOnePlusTheWeight(Variants):
    """As Gemma stores them."""

    def weight(self, weight: Tensor) -> Tensor:
        return 1 + weight.float()


@odd(lambda case: normed(case) and case.head_dim > 1)
class NormBySums(Variants):
    """The root of the sum of squares, not of their mean."""

    def mean_square(self, x: Tensor) -> Tensor:
        return x.square().sum(-1, keepdim=True)


@odd(lambda case: normed(case) and case.head_dim > 2)
class NormOfHalfAHead(Variants):
    def mean_square(self, x: Tensor) -> Tensor:
        return x[..., : x.shape[-1] // 2].square().mean(-1, keepdim=True)


@odd(lambda case: normed(case) and case.head_dim > 1)
class NormWeightReversed(Variants):
    def weight(self, weight: Tensor) -> Tensor:
        return weight.float().flip(-1)


@odd(norms_keys)
class KeysByTheQueriesNorm(Variants):
    def k_norm(self, inputs: AttentionInputs) -> Tensor | None:
        return inputs.q_norm


@odd(lambda case: getattr(case, "v_head_dim", case.head_dim) > case.head_dim and case.pairs > 0)
class ValuesCutToTheHeadSize(Variants):
    """What values have more than keys is left at zero."""

    def attend(
        self, scores: Tensor, permitted: Tensor, v: Tensor, sinks: Tensor | None, rounded: torch.dtype
    ) -> Tensor:
        out = super().attend(scores, permitted, v, sinks, rounded)
        out[..., self._head_dim :] = 0.0
        return out

    def scores(self, inputs: AttentionInputs) -> Tensor:
        self._head_dim = inputs.q.shape[-1]
        return super().scores(inputs)


@odd(lambda case: has_blind_rows(case) and case.sinks == "none")
class NothingSeenIsNaN(Variants):
    def probabilities(self, scores: Tensor, permitted: Tensor, sinks: Tensor | None) -> Tensor:
        masked = scores.masked_fill(~permitted, -math.inf)
        return masked.softmax(-1) if sinks is None else super().probabilities(scores, permitted, sinks)


@odd(lambda case: has_blind_rows(case) and case.sinks == "none")
class NothingSeenIsTheMean(Variants):
    """Forbidden scores are large and finite."""

    def probabilities(self, scores: Tensor, permitted: Tensor, sinks: Tensor | None) -> Tensor:
        blind = ~permitted.any(-1, keepdim=True)
        return super().probabilities(scores.masked_fill(~permitted, -1e9), permitted | blind, sinks)
