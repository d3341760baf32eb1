"""A whole model whose linear layers are stored in formats."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models.weights import LayerWeights, ModelWeights, placeholder
from attnlab.bench.llm.quantization.choosing import quantisation_method, quantise
from attnlab.bench.llm.quantization.coding import weight_format
from attnlab.bench.llm.quantization.recipe import PROJECTIONS, RTN, SAME, Recipe
from attnlab.bench.llm.quantization.weight import QuantizedWeight


def quantise_model(weights: ModelWeights, recipe: Recipe) -> ModelWeights:
    """The model with its projections as the recipe says, on the device and in the dtype that it has.

    Codes are chosen from the weights as they are given: those in float32 lose nothing beforehand. Raises UsageError
    where a weight cannot be stored so.
    """
    reason = recipe.refuses(weights.config)
    if reason is not None:
        raise UsageError(f"{weights.config.name} by {recipe}: {reason}")
    head = None if recipe.head == SAME else _chosen(weights.head, recipe.head, RTN)
    return dataclasses.replace(
        weights,
        layers=tuple(_quantised_layer(layer, recipe, index) for index, layer in enumerate(weights.layers)),
        head=weights.head if head is None else placeholder(weights.head, weights.head.shape),
        quantized_head=head,
        origin=f"{weights.origin}, {recipe}",
    )


def _quantised_layer(layer: LayerWeights, recipe: Recipe, index: int) -> LayerWeights:
    formats = {name: recipe.format_of(index, name) for name in PROJECTIONS}
    made = {name: _chosen(getattr(layer, name), of, recipe.method) for name, of in formats.items() if of != SAME}
    return layer.storing(made)


def _chosen(weight: Tensor, format: str, method: str) -> QuantizedWeight:
    return quantise(weight, weight_format(format), quantisation_method(method)).weight
