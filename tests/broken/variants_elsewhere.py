"""The same for gradients, and over a cache: honest code, and every wrong step of the forward that applies there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops._shared.caching import DecodeCase
from attnlab.bench.ops._shared.variant_probes import sinks_matter
from attnlab.bench.ops.attention.case import AttentionInputs
from attnlab.bench.ops.attention_backward import AttentionBackwardInputs
from attnlab.bench.ops.decode_attention.inputs import DecodeInputs

from .broken_variants import WRONG_SCORES, biased, capped
from .collection import Collection
from .decoding import Decode
from .gradients import Three
from .variants import HONEST_VARIANTS, Variants
from .wrong_pairs import WRONG_PAIRS

ATTENTION_VARIANTS = Collection("attention")
BACKWARD_VARIANTS = Collection("attention_backward")
DECODE_VARIANTS = Collection("decode_attention")
for target, applies in (*WRONG_SCORES, *WRONG_PAIRS):
    ATTENTION_VARIANTS.broken(applies)(target)


class VariantGradients(Variants):
    """float32 inside; P, dS and gradients rounded; P from the forward's log-sum-exp, delta from its out."""

    def run(self, inputs: AttentionBackwardInputs, state: Any = None) -> Three:  # type: ignore[override]
        dtype = inputs.q.dtype
        k, v = (self.of_query_heads(x.float(), inputs) for x in (inputs.k, inputs.v))
        q, dout = inputs.q.float(), inputs.dout.float()
        scores = self.capped(q @ k.mT * inputs.scale, inputs)
        p = self.weights(scores + self.bias(inputs), self.permitted(inputs), inputs)
        dp = dout @ v.mT
        ds = p * (dp - self.delta(p, dp, inputs)) * self.slope(scores, inputs)
        ds, p = ds.to(dtype).float(), p.to(dtype).float()
        dk, dv = (self.summed(x, inputs) for x in (ds.mT @ q * inputs.scale, p.mT @ dout))
        return (ds @ k * inputs.scale).to(dtype), dk.to(dtype), dv.to(dtype)

    def weights(self, scores: Tensor, permitted: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        lse = inputs.lse[..., None].masked_fill(inputs.lse[..., None] == -math.inf, 0.0)
        return (scores - lse).exp().masked_fill(~permitted, 0.0)

    def delta(self, p: Tensor, dp: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return (inputs.dout.float() * inputs.out.float()).sum(-1, keepdim=True)

    def slope(self, capped: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return torch.ones(()) if inputs.softcap is None else 1 - (capped / inputs.softcap).square()

    def summed(self, x: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return x.unflatten(1, (inputs.k.shape[1], -1)).sum(2)


class SoftmaxAgain(VariantGradients):
    """The softmax, with its sink, is worked out anew and delta from it."""

    def weights(self, scores: Tensor, permitted: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return self.probabilities(scores, permitted, self.sinks(inputs))

    def delta(self, p: Tensor, dp: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return (p * dp).sum(-1, keepdim=True)


HONEST_GRADIENTS = (VariantGradients, SoftmaxAgain)
for wrong, differs in WRONG_PAIRS:  # the mask of the backward pass is not that of the forward
    BACKWARD_VARIANTS.broken(differs)(type(wrong.__name__, (wrong, VariantGradients), {"__doc__": wrong.__doc__}))


@BACKWARD_VARIANTS.broken(capped)
class SlopeForgotten(VariantGradients):
    """The cap changes scores, but not their gradient."""

    def slope(self, capped: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return torch.ones(())


@BACKWARD_VARIANTS.broken(lambda case: capped(case) and biased(case))
class SlopeWithTheBias(VariantGradients):
    """The slope is worked out from scores to which the bias is added."""

    def slope(self, capped: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return super().slope(capped + self.bias(inputs), inputs)


@BACKWARD_VARIANTS.broken(sinks_matter)
class SinkMissingInTheSum(SoftmaxAgain):
    def sinks(self, inputs: AttentionInputs) -> Tensor | None:
        return None


@BACKWARD_VARIANTS.broken(biased)
class BiasForgotten(VariantGradients):
    def bias(self, inputs: AttentionInputs) -> Tensor:
        return torch.zeros(())


@BACKWARD_VARIANTS.broken(lambda case: biased(case) and case.q_heads > 1)
class BiasOfTheNextHead(VariantGradients):
    def bias(self, inputs: AttentionInputs) -> Tensor:
        return super().bias(inputs).roll(-1, 0)


def over_a_cache(attends: type) -> type:
    """A class for decode_attention that gathers tokens one by one, and attends sequence by sequence as another does."""

    class Cached(Decode):
        def sequence(self, inputs: DecodeInputs, n: int, length: int) -> Tensor:
            tokens, dtype = torch.arange(length), inputs.q.dtype
            k, v = (self.tokens(inputs.cache, side, n, tokens) for side in (inputs.cache.keys, inputs.cache.values))
            added = {name: getattr(inputs, name) for name in ("softcap", "sinks", "bias", "bias_table", "q_norm")}
            q, k, v = inputs.q[n : n + 1], k[None].to(dtype), v[None].to(dtype)
            one = AttentionInputs(q, k, v, inputs.mask, None, inputs.scale, **added)
            out: Tensor = attends().run(one)[0]
            return out

    return type(attends.__name__, (Cached,), {"__doc__": attends.__doc__})


HONEST_DECODES = tuple(over_a_cache(made) for made in HONEST_VARIANTS)


def seen_tokens(applies: Callable[[Any], bool]) -> Callable[[DecodeCase], bool]:
    """Where it applies, of a cache that holds some token."""
    return lambda case: case.longest > 0 and applies(case)


NOT_OF_CACHES = ("KeysNotNormed", "PackOfQueriesForKeys", "DocumentsOneTokenLate", "DocumentsOneTokenEarly")
for target, applies in (*WRONG_SCORES, *WRONG_PAIRS):
    if target.__name__ not in (*NOT_OF_CACHES, "FirstDocumentSeenByTheSecond"):
        DECODE_VARIANTS.broken(seen_tokens(applies))(over_a_cache(target))
