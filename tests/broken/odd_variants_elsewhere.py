"""The same mistakes in gradients and over a cache, those that a backward pass has of its own, and latent heads."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attnlab.bench.ops._shared.caching import DecodeCase
from attnlab.bench.ops._shared.variant_probes import sinks_matter
from attnlab.bench.ops.attention_backward import AttentionBackwardInputs
from attnlab.bench.ops.decode_attention.inputs import DecodeInputs

from .broken_variants import biased, capped
from .collection import Collection
from .decoding import Decode
from .odd_pairs import ODD_PAIRS
from .odd_variants import ODD_SCORES
from .variants_elsewhere import SoftmaxAgain, VariantGradients, over_a_cache, seen_tokens

ODD_ATTENTION = Collection("attention")
ODD_BACKWARD = Collection("attention_backward")
ODD_DECODE = Collection("decode_attention")
LATENT = Collection("decode_attention")
OWN_STEPS = {"attend", "changed"}
"""Of the forward alone: gradients do not take them."""
OF_PROMPTS = {"BiasOfTheFirstSequenceAlone", "DenseBiasTransposed", "DenseBiasOfTheRowBefore", "KeysByTheQueriesNorm"}
OF_PROMPTS |= {"DocumentsBothWays", "LastDocumentSeesAll", "KeysOfTheSequenceBefore", "PacksByPlaceInTheRow"}
OF_PROMPTS |= {"ValuesCutToTheHeadSize"}
OF_NORMS = {"NormOfOnePlusTheWeight", "NormBySums", "NormOfHalfAHead", "NormWeightReversed", "KeysByTheQueriesNorm"}
for target, applies in (*ODD_SCORES, *ODD_PAIRS):
    ODD_ATTENTION.broken(applies)(target)
    if not OWN_STEPS & vars(target).keys() and target.__name__ not in OF_NORMS:
        again = type(target.__name__, (target, SoftmaxAgain), {"__doc__": target.__doc__})
        ODD_BACKWARD.broken(applies)(again)
    if target.__name__ not in OF_PROMPTS:
        ODD_DECODE.broken(seen_tokens(applies))(over_a_cache(target))


@ODD_BACKWARD.broken(capped)
class SlopeTwice(VariantGradients):
    def slope(self, capped: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        return super().slope(capped, inputs).square()


@ODD_BACKWARD.broken(capped)
class SlopeOfUncappedScores(VariantGradients):
    """1 - (s / c)², of the score before the cap."""

    def slope(self, capped: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        cap = inputs.softcap
        return torch.ones(()) if cap is None else 1 - (capped / cap).clamp(-0.999999, 0.999999).atanh().square()


@ODD_BACKWARD.broken(sinks_matter)
class DeltaWithoutTheSink(SoftmaxAgain):
    """As if the weights of the keys added up to one."""

    def delta(self, p: Tensor, dp: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        total = p.sum(-1, keepdim=True)
        return super().delta(p / total.masked_fill(total == 0, 1.0), dp, inputs)


@ODD_BACKWARD.broken(sinks_matter)
class SinkTakenOffTheLogSum(VariantGradients):
    """Weights from the sum of the keys alone."""

    def weights(self, scores: Tensor, permitted: Tensor, inputs: AttentionBackwardInputs) -> Tensor:
        p = super().weights(scores, permitted, inputs)
        total = p.sum(-1, keepdim=True)
        return p if inputs.sinks is None else p / total.masked_fill(total == 0, 1.0)


@ODD_BACKWARD.broken(biased)
class BiasInTheGradientOfScores(VariantGradients):
    """The bias is multiplied by the scale on the way back, as if it had been added before."""

    def bias(self, inputs: AttentionBackwardInputs) -> Tensor:  # type: ignore[override]
        return super().bias(inputs) * inputs.scale


class Latent(Decode):
    """A token's first numbers are its value; one key-value head."""

    def sequence(self, inputs: DecodeInputs, n: int, length: int) -> Tensor:
        k = self.tokens(inputs.cache, inputs.cache.keys, n, torch.arange(length)).to(inputs.q.dtype).float()
        v = self.values(k, self.width(inputs))
        scores = self.scores(inputs.q[n].float(), k, inputs)
        return self.attend(scores, self.permitted(inputs, length), v.expand(inputs.q.shape[1], -1, -1))

    def width(self, inputs: DecodeInputs) -> int:
        return int(inputs.cache.read()[1].shape[-1])

    def values(self, k: Tensor, width: int) -> Tensor:
        return k[..., :width]

    def scores(self, q: Tensor, k: Tensor, inputs: DecodeInputs) -> Tensor:
        return q @ k.mT * inputs.scale


def chooses(case: DecodeCase) -> bool:
    return case.longest > 1


@LATENT.broken(chooses)
class RopePartForgotten(Latent):
    """Scores by the latent part alone."""

    def scores(self, q: Tensor, k: Tensor, inputs: DecodeInputs) -> Tensor:
        width = self.width(inputs)
        return q[..., :width] @ k[..., :width].mT * inputs.scale


@LATENT.broken(chooses)
class RopePartTwice(Latent):
    def scores(self, q: Tensor, k: Tensor, inputs: DecodeInputs) -> Tensor:
        width = self.width(inputs)
        return super().scores(q, k, inputs) + q[..., width:] @ k[..., width:].mT * inputs.scale


@LATENT.broken(chooses)
class RopePartOfTheNextHead(Latent):
    def scores(self, q: Tensor, k: Tensor, inputs: DecodeInputs) -> Tensor:
        width = self.width(inputs)
        return super().scores(torch.cat([q[..., :width], q[..., width:].roll(1, 0)], -1), k, inputs)


@LATENT.broken(chooses)
class ScaleOfTheLatentPart(Latent):
    """1/√ of the values' size."""

    def scores(self, q: Tensor, k: Tensor, inputs: DecodeInputs) -> Tensor:
        return q @ k.mT / math.sqrt(self.width(inputs))


@LATENT.broken(chooses)
class RopePartFirst(Latent):
    """Keys have what is turned before what is latent."""

    def scores(self, q: Tensor, k: Tensor, inputs: DecodeInputs) -> Tensor:
        return super().scores(q.roll(q.shape[-1] - self.width(inputs), -1), k, inputs)


@LATENT.broken(chooses)
class ValuesFromTheEnd(Latent):
    def values(self, k: Tensor, width: int) -> Tensor:
        return k[..., -width:]


@LATENT.broken(chooses)
class LastValueIsZero(Latent):
    """One number of each value is not read."""

    def values(self, k: Tensor, width: int) -> Tensor:
        return torch.cat([k[..., : width - 1], torch.zeros_like(k[..., :1])], -1)


@LATENT.broken(chooses)
class ValuesOfTheTokenBefore(Latent):
    def values(self, k: Tensor, width: int) -> Tensor:
        return super().values(k, width).roll(1, 1)


HONEST_LATENT = (Latent,)
