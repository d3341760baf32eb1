"""What a method divides a layer's activations by, folded into what comes before: the function stays as it was.

Query, key and value have one scale of columns, and so have gate and up: both are folded into the norm before. That of
down is folded into the rows of up, and that of output into the rows of value, where all query heads of one key head
share it. Each is chosen from the float weights, before any of the layer is quantised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from torch import Tensor

from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.weights import LayerWeights
from attnlab.bench.llm.quantization.calibration import FIELDS, Kind, LayerInputs
from attnlab.bench.llm.quantization.choosing import Method, Tied, column_scale_of, untied
from attnlab.bench.llm.quantization.coding import weight_format


def scaled_layer(
    layer: LayerWeights, formats: Mapping[str, str], method: Method, inputs: LayerInputs, config: ModelConfig
) -> tuple[LayerWeights, LayerInputs]:
    """The layer with its columns scaled as the method chooses, and what its projections are then given.

    formats: by projection. Projections of one input that have several are scaled for the first of them. Down and output
    come first, because their scales change rows of up and value.
    """
    if method.column_scale is None:
        return layer, inputs
    for kind in ("down", "output", "attention", "mlp"):
        fields = [name for name in FIELDS[kind] if name in formats]
        if fields:
            format, activations = weight_format(formats[fields[0]]), inputs.of(kind)
            tied = _shared_by_heads(config) if kind == "output" else untied
            scale = column_scale_of([getattr(layer, name) for name in fields], format, method, activations, tied)
            if scale is not None:
                layer = _folded(layer, kind, scale, config)
                inputs = dataclasses.replace(inputs, **{kind: activations / scale})
    return layer, inputs


def _shared_by_heads(config: ModelConfig) -> Tied:
    """The geometric mean over the query heads of each key head, whose values they all read."""

    def shared(scale: Tensor) -> Tensor:
        heads = scale.view(config.kv_heads, -1, config.head_dim)
        return heads.log().mean(1, keepdim=True).exp().expand_as(heads).flatten()

    return shared


def _folded(layer: LayerWeights, kind: Kind, scale: Tensor, config: ModelConfig) -> LayerWeights:
    """Columns of the projections of one input times the scale [K], and what gives that input divided by it."""
    changed = {name: _times(getattr(layer, name), scale) for name in FIELDS[kind]}
    if kind == "attention":
        changed["attention_norm"] = _times(layer.attention_norm, 1 / scale)
    elif kind == "mlp":
        changed["mlp_norm"] = _times(layer.mlp_norm, 1 / scale)
    elif kind == "down":
        changed["up"] = _times(layer.up, 1 / scale[:, None])
    else:
        of_values = scale.view(config.kv_heads, -1, config.head_dim)[:, 0].flatten()
        changed["value"] = _times(layer.value, 1 / of_values[:, None])
        if layer.value_bias is not None:
            changed["value_bias"] = _times(layer.value_bias, 1 / of_values)
    return layer.changed(changed)


def _times(x: Tensor, scale: Tensor) -> Tensor:
    return (x.float() * scale).to(x.dtype)
