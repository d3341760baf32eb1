"""Broken decoders of Qwen3, the Gemmas and gpt-oss: what only such models have is left out, or is another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch

from attnlab.bench.llm.models.weights import LayerWeights, ModelWeights
from attnlab.bench.ops.generate.case import GenerateCase, GenerateInputs
from attnlab.impls.generate._engine.batching import Batching

from .collection import Collection
from .generating import Decodes

FAMILY_DEFECTS = Collection("families")


def having(*features: str) -> Callable[[Any], bool]:
    """Cases whose model has them all."""
    return lambda case: all(getattr(case.config, feature) for feature in features)


class OtherModel(Decodes):
    """Decodes another model than it was given."""

    changes: ClassVar[dict[str, Any]] = {}

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> Batching:
        return super().prepare(case, replace(inputs, weights=self.other(inputs.weights)))

    def other(self, weights: ModelWeights) -> ModelWeights:
        return replace(weights, config=replace(weights.config, **self.changes))


@FAMILY_DEFECTS.broken(having("score_softcap"))
class ScoresNotCapped(OtherModel):
    changes: ClassVar = {"score_softcap": None}


@FAMILY_DEFECTS.broken(having("score_softcap"))
class ScoresCappedTwiceAsWide(OtherModel):
    def other(self, weights: ModelWeights) -> ModelWeights:
        cap = weights.config.score_softcap
        assert cap is not None
        return replace(weights, config=replace(weights.config, score_softcap=2 * cap))


@FAMILY_DEFECTS.broken(having("query_scalar"))
class ScoresOverTheRootOfTheHeadSize(OtherModel):
    changes: ClassVar = {"query_scalar": None}


@FAMILY_DEFECTS.broken(having("windowed"))
class WindowsSwapped(OtherModel):
    def other(self, weights: ModelWeights) -> ModelWeights:
        swapped = tuple(not windowed for windowed in weights.config.windowed)
        return replace(weights, config=replace(weights.config, windowed=swapped))


@FAMILY_DEFECTS.broken(having("windowed"))
class WindowsInAllLayers(OtherModel):
    changes: ClassVar = {"windowed": ()}


@FAMILY_DEFECTS.broken(having("windowed"))
class NoWindows(OtherModel):
    changes: ClassVar = {"windowed": (), "sliding_window": None}


@FAMILY_DEFECTS.broken(having("windowed"))
class WindowOneTooWide(OtherModel):
    def other(self, weights: ModelWeights) -> ModelWeights:
        window = weights.config.sliding_window
        assert window is not None
        return replace(weights, config=replace(weights.config, sliding_window=window + 1))


@FAMILY_DEFECTS.broken(having("local_rope_theta"))
class OneBaseOfRope(OtherModel):
    changes: ClassVar = {"local_rope_theta": None}


@FAMILY_DEFECTS.broken(having("scaled_embedding"))
class EmbeddingNotScaled(OtherModel):
    changes: ClassVar = {"scaled_embedding": False}


@FAMILY_DEFECTS.broken(lambda case: case.config.activation == "gelu_tanh")
class SiluForGelu(OtherModel):
    changes: ClassVar = {"activation": "silu"}


class NormLeftOut(OtherModel):
    """In every layer."""

    roles: ClassVar[tuple[str, ...]] = ()

    def other(self, weights: ModelWeights) -> ModelWeights:
        less: dict[str, Any] = dict.fromkeys(self.roles)
        return replace(weights, layers=tuple(replace(layer, **less) for layer in weights.layers))


@FAMILY_DEFECTS.broken(having("qk_norm"))
class HeadsNotNormed(NormLeftOut):
    roles: ClassVar = ("query_norm", "key_norm")


@FAMILY_DEFECTS.broken(having("branch_norms"))
class AttentionBranchNotNormed(NormLeftOut):
    roles: ClassVar = ("attention_branch_norm",)


@FAMILY_DEFECTS.broken(having("branch_norms"))
class MlpBranchNotNormed(NormLeftOut):
    roles: ClassVar = ("mlp_branch_norm",)


@FAMILY_DEFECTS.broken(having("scaled_embedding"))
class NormsWithoutTheirOne(OtherModel):
    """The weights of norms as a file of Gemma has them."""

    def other(self, weights: ModelWeights) -> ModelWeights:
        layers = tuple(replace(layer, attention_norm=layer.attention_norm - 1) for layer in weights.layers)
        return replace(weights, layers=layers)


class OtherLayers(OtherModel):
    """Decodes with other weights in each layer."""

    def other(self, weights: ModelWeights) -> ModelWeights:
        return replace(weights, layers=tuple(map(self.layer, weights.layers)))

    def layer(self, layer: LayerWeights) -> LayerWeights:
        raise NotImplementedError


@FAMILY_DEFECTS.broken(having("sinks"))
class SinksForgotten(OtherLayers):
    def layer(self, layer: LayerWeights) -> LayerWeights:
        return replace(layer, sinks=None if layer.sinks is None else torch.full_like(layer.sinks, -1e4))


@FAMILY_DEFECTS.broken(having("sinks"))
class SinksOfTheNextHead(OtherLayers):
    def layer(self, layer: LayerWeights) -> LayerWeights:
        return replace(layer, sinks=None if layer.sinks is None else layer.sinks.roll(1))


@FAMILY_DEFECTS.broken(having("sinks"))
class SinksOfTheFirstLayer(OtherModel):
    """As a kernel that packed them once and serves all layers."""

    def other(self, weights: ModelWeights) -> ModelWeights:
        first = weights.layers[0].sinks
        return replace(weights, layers=tuple(replace(layer, sinks=first) for layer in weights.layers))


@FAMILY_DEFECTS.broken(having("output_bias"))
class OutputBiasForgotten(OtherLayers):
    def layer(self, layer: LayerWeights) -> LayerWeights:
        return replace(layer, output_bias=None if layer.output_bias is None else torch.zeros_like(layer.output_bias))


@FAMILY_DEFECTS.broken(having("experts"))
class OneExpertAToken(OtherModel):
    changes: ClassVar = {"experts_per_token": 1}


@FAMILY_DEFECTS.broken(having("experts"))
class ExpertsShifted(OtherLayers):
    """The router's choice is of the expert before."""

    def layer(self, layer: LayerWeights) -> LayerWeights:
        assert layer.experts is not None
        names = ("router", "router_bias")
        moved = {name: getattr(layer.experts, name).roll(1, 0) for name in names}
        return replace(layer, experts=replace(layer.experts, **moved))
