"""What models add to attention, each done wrongly: forgotten, misplaced, of another head, off by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attnlab.bench.ops._shared.variant_probes import has_choice, sinks_matter, weighs
from attnlab.bench.ops.attention.case import AttentionInputs

from .variants import Variants
from .wrong_pairs import Wrong, pairs

SMALL_CAP = 10.0  # of which exp(-cap) shows
WRONG_SCORES: list[Wrong] = []


def forbids(case: Any) -> bool:
    """To some query that sees a key as many are forbidden; in float32 one is enough."""
    some = 1 if case.dtype == "float32" else 0
    found = pairs(Variants(), case)
    return any(bool((seen.any(-1) & ((~seen).sum(-1) >= (some or seen.sum(-1)))).any()) for seen in found)


def wrong(applies: Callable[[Any], bool]) -> Callable[[type], type]:
    def add(target: type) -> type:
        WRONG_SCORES.append((target, applies))
        return target

    return add


def learned(case: Any) -> bool:
    return case.sinks == "learned" and sinks_matter(case)


def capped(case: Any) -> bool:
    return case.softcap is not None and case.softcap <= SMALL_CAP and weighs(case)


def biased(case: Any) -> bool:
    return bool(case.bias) and weighs(case)


def relative(case: Any) -> bool:
    return case.bias.kind == "relative" and has_choice(case)


def normed(case: Any) -> bool:
    return case.qk_norm != "none" and weighs(case)


def norms_keys(case: Any) -> bool:
    return normed(case) and case.kind == "attention"


@wrong(sinks_matter)
class SinkForgotten(Variants):
    def sinks(self, inputs: AttentionInputs) -> Tensor | None:
        return None


@wrong(lambda case: learned(case) and case.q_heads > 1)
class SinkOfTheNextHead(Variants):
    def sinks(self, inputs: AttentionInputs) -> Tensor | None:
        return None if inputs.sinks is None else inputs.sinks.roll(-1)


@wrong(lambda case: learned(case) and case.q_heads > case.kv_heads)
class SinkOfTheGroup(Variants):
    """The sink of the first head of a group for all of it."""

    def sinks(self, inputs: AttentionInputs) -> Tensor | None:
        group = inputs.q.shape[1] // inputs.k.shape[1]
        return None if inputs.sinks is None else inputs.sinks[::group].repeat_interleave(group)


@wrong(sinks_matter)
class SinkTwice(Variants):
    """Each of two parts of the keys counts it."""

    def sinks(self, inputs: AttentionInputs) -> Tensor | None:
        return None if inputs.sinks is None else inputs.sinks + math.log(2)


@wrong(lambda case: learned(case) and case.head_dim > 1)
class SinkScaled(Variants):
    def sinks(self, inputs: AttentionInputs) -> Tensor | None:
        return None if inputs.sinks is None else inputs.sinks * inputs.scale


@wrong(lambda case: capped(case))
class CapForgotten(Variants):
    def capped(self, scores: Tensor, inputs: AttentionInputs) -> Tensor:
        return scores


@wrong(lambda case: capped(case) and case.head_dim > 1)
class CapBeforeTheScale(Variants):
    def changed(self, products: Tensor, inputs: AttentionInputs) -> Tensor:
        return self.capped(products, inputs) * inputs.scale + self.bias(inputs)


@wrong(lambda case: capped(case) and biased(case))
class CapAfterTheBias(Variants):
    def changed(self, products: Tensor, inputs: AttentionInputs) -> Tensor:
        return self.capped(products * inputs.scale + self.bias(inputs), inputs)


@wrong(lambda case: capped(case) and forbids(case))
class CapAfterTheMask(Variants):
    """What is forbidden scores minus the cap."""

    def run(self, inputs: AttentionInputs, state: Any = None) -> Tensor:
        self._cap = inputs.softcap
        return super().run(inputs)

    def probabilities(self, scores: Tensor, permitted: Tensor, sinks: Tensor | None) -> Tensor:
        lowered = scores.masked_fill(~permitted, -(self._cap or math.inf))
        return super().probabilities(lowered, torch.ones_like(permitted), sinks)


@wrong(biased)
class BiasForgotten(Variants):
    def bias(self, inputs: AttentionInputs) -> Tensor:
        return torch.zeros(())


@wrong(lambda case: biased(case) and case.q_heads > 1)
class BiasOfTheNextHead(Variants):
    def bias(self, inputs: AttentionInputs) -> Tensor:
        made = super().bias(inputs)
        return made.roll(-1, 0) if made.dim() else made


@wrong(biased)
class BiasSubtracted(Variants):
    def bias(self, inputs: AttentionInputs) -> Tensor:
        return -super().bias(inputs)


@wrong(lambda case: biased(case) and case.head_dim > 1)
class BiasBeforeTheScale(Variants):
    def changed(self, products: Tensor, inputs: AttentionInputs) -> Tensor:
        return self.capped((products + self.bias(inputs)) * inputs.scale, inputs)


def shifts_show(case: Any) -> bool:
    """Another distance is not the same for all keys of a row, or there is a sink beside them."""
    both_ways = not case.mask.is_causal or sinks_matter(case)
    return relative(case) or (case.bias.kind == "alibi" and both_ways and weighs(case))


@wrong(shifts_show)
class DistanceOffByOne(Variants):
    def distance(self, inputs: AttentionInputs) -> Tensor:
        return super().distance(inputs) - 1


@wrong(relative)
class BucketsOfTheOtherDirection(Variants):
    def buckets(self, distance: Tensor, inputs: AttentionInputs) -> Tensor:
        return super().buckets(-distance, inputs)


@wrong(normed)
class QueriesNotNormed(Variants):
    def q_norm(self, inputs: AttentionInputs) -> Tensor | None:
        return None


@wrong(norms_keys)
class KeysNotNormed(Variants):
    def k_norm(self, inputs: AttentionInputs) -> Tensor | None:
        return None


@wrong(lambda case: normed(case) and case.head_dim > 1)
class NormAfterTheScale(Variants):
    """The scale goes into the queries before their norm, which takes it out again."""

    def scale(self, inputs: AttentionInputs) -> float:
        return 1.0 if inputs.q_norm is not None else inputs.scale


@wrong(normed)
class NormWithoutItsWeight(Variants):
    def weight(self, weight: Tensor) -> Tensor:
        return torch.ones_like(weight, dtype=torch.float32)


@wrong(lambda case: normed(case) and case.q_heads > 1)
class NormOverAllHeads(Variants):
    def mean_square(self, x: Tensor) -> Tensor:
        return x.square().mean((1, 3), keepdim=True)
