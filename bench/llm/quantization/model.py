"""A whole model whose linear layers are stored in formats."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models import reference
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.weights import LayerWeights, ModelWeights, placeholder
from attnlab.bench.llm.quantization.calibration import FIELDS, LayerInputs, read_layer
from attnlab.bench.llm.quantization.choosing import Method, quantisation_method, quantise, tell
from attnlab.bench.llm.quantization.coding import weight_format
from attnlab.bench.llm.quantization.folding import scaled_layer
from attnlab.bench.llm.quantization.recipe import PROJECTIONS, RTN, SAME, Recipe
from attnlab.bench.llm.quantization.weight import QuantizedWeight, split


@torch.no_grad()
def quantise_model(weights: ModelWeights, recipe: Recipe, ids: Tensor | None = None) -> ModelWeights:
    """The model with its projections as the recipe says, on the device and in the dtype that it has.

    ids: the texts [B, S] that a method is calibrated on, see `calibration.ids_to_calibrate`. A layer is then shown what
    the layers before it, quantised already, make of them. What a method divides activations by is folded into norms, up
    and value, see `folding.scaled_layer`. The head's codes are always the nearest ones.

    Codes are chosen from the weights as they are given: those in float32 lose nothing beforehand. Raises UsageError
    where a weight cannot be stored so, or a method needs texts and there are none; a ModelWarning says what is to be
    said of the calibration, such as too few tokens.
    """
    reason = recipe.refuses(weights.config)
    if reason is not None:
        raise UsageError(f"{weights.config.name} by {recipe}: {reason}")
    method = quantisation_method(recipe.method)
    if method.calibrated:
        layers = tuple(_calibrated_layers(weights, recipe, method, ids))
    else:
        layers = tuple(
            _quantised_layer(layer, formats_of_layer(recipe, n), method, None) for n, layer in enumerate(weights.layers)
        )
    return with_layers(weights, recipe, layers)


def with_layers(weights: ModelWeights, recipe: Recipe, layers: tuple[LayerWeights, ...]) -> ModelWeights:
    """The model with layers that are quantised by the recipe already, and with the head as it says."""
    head = None
    if recipe.head != SAME:
        head = quantise(weights.head, weight_format(recipe.head), quantisation_method(RTN)).weight
    return dataclasses.replace(
        weights,
        layers=layers,
        head=weights.head if head is None else placeholder(weights.head, weights.head.shape),
        quantized_head=head,
        origin=f"{weights.origin}, {recipe}",
    )


def formats_of_layer(recipe: Recipe, layer: int) -> dict[str, str]:
    """The format of each projection that has one."""
    return {name: of for name in PROJECTIONS if (of := recipe.format_of(layer, name)) != SAME}


def _calibrated_layers(
    weights: ModelWeights, recipe: Recipe, method: Method, ids: Tensor | None
) -> Iterator[LayerWeights]:
    if ids is None:
        raise UsageError(f"{weights.config.name} by {recipe}: method {method.name} needs texts to be calibrated on")
    texts: Tensor = reference.checked_ids(weights.config, ids.to(weights.device))
    config = weights.config.settled(texts.shape[1], texts.shape[1])
    hidden = reference.embedded(weights, texts, torch.float32)
    for index, stored in enumerate(weights.layers):
        inputs, handed_on = read_layer(_reading(stored, config, index), hidden)
        formats = formats_of_layer(recipe, index)
        layer, inputs = scaled_layer(stored, formats, method, inputs, config)
        made = _quantised_layer(layer, formats, method, inputs)
        yield made
        hidden = read_layer(_reading(made, config, index), hidden)[1] if formats else handed_on


def _reading(layer: LayerWeights, config: ModelConfig, index: int) -> reference.Layer:
    return reference.Layer(layer.to(layer.attention_norm.device, torch.float32), config, index)


def _quantised_layer(
    layer: LayerWeights, formats: dict[str, str], method: Method, inputs: LayerInputs | None
) -> LayerWeights:
    made: dict[str, QuantizedWeight] = {}
    for kind, fields in FIELDS.items():
        for together in _together(fields, formats):
            made |= _chosen(layer, together, formats[together[0]], method, None if inputs is None else inputs.of(kind))
    return layer.storing(made)


def _together(fields: tuple[str, ...], formats: dict[str, str]) -> list[list[str]]:
    """Projections of one input whose codes can be chosen in one go: those of one format whose rows are apart."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in fields:
        if name in formats:
            apart = weight_format(formats[name]).rows_apart
            groups.setdefault((formats[name], "" if apart else name), []).append(name)
    return list(groups.values())


def _chosen(
    layer: LayerWeights, fields: list[str], format: str, method: Method, activations: Tensor | None
) -> dict[str, QuantizedWeight]:
    weights: list[Tensor] = [getattr(layer, name) for name in fields]
    as_it_is = None if activations is None else activations.new_ones(activations.shape[1])
    chosen = quantise(torch.cat(weights), weight_format(format), method, activations, as_it_is)
    tell(chosen, method)
    return dict(zip(fields, split(chosen.weight, [len(weight) for weight in weights]), strict=True))
