"""All layers of a pass of few rows in one call, where every part of them is one of our kernels in C."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from attnlab.bench.llm import QuantizedWeight
from attnlab.impls import _cpu_rows
from attnlab.impls.generate._engine.decoder import Decoder
from attnlab.impls.generate._engine.kv_caches import KVCaches
from attnlab.impls.generate._engine.layer import FusedLayer, Projection
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.linear._cpu_products import NATIVE_ROWS
from attnlab.kernels.cpu.decode_rows import MOST_HEAD_DIM
from attnlab.kernels.cpu.layer_rows import Layer, Weight, layer_rows
from attnlab.kernels.cpu.quantized_rows import FORMS
from attnlab.kernels.cpu.row_numbers import MOST_ROWS

OURS = {"norm": "native", "rope": "native", "activation": "native", "attention": "native", "append": "slices"}
LayersAtOnce = Callable[[Tensor, Tensor, int], None]
"""(x [M, H], lengths int32 [B] with the new tokens, the longest): x is overwritten by what the last layer gives."""


def layers_at_once(decoder: Decoder, parts: Parts, caches: KVCaches, batch: int, new: int) -> LayersAtOnce | None:
    """For passes of `new` tokens of each sequence; None where they have to go part by part.

    Both ways run the same kernels in the same order. Raises Unavailable where there is no compiler.
    """
    if not (_are_ours(parts) and _fit(decoder, caches)):
        return None
    projections = [p for at in decoder.layers for p in (at.qkv, at.output, at.gate_up, at.down)]
    if not all(_is_few(projection, batch * new) for projection in projections):
        return None
    config = decoder.config
    layers = [_layer(decoder, caches, index, at) for index, at in enumerate(decoder.layers)]
    made: LayersAtOnce = _cpu_rows.made(layer_rows, layers, config.q_heads, batch, new, config.scale, config.norm_eps)
    return made


def _are_ours(parts: Parts) -> bool:
    chosen = all(getattr(parts, part) == name for part, name in OURS.items())
    return chosen and parts.linear in ("by_rows", "native")


def _fit(decoder: Decoder, caches: KVCaches) -> bool:
    config, first = decoder.config, decoder.layers[0]
    branch_norms = first.attention_branch_norm is not None or first.mlp_branch_norm is not None
    plain = config.activation == "silu" and config.score_softcap is None and decoder.total is None
    plain = plain and not (config.sinks or config.experts or branch_norms)
    stored = not (caches.layout.paged or caches.layout.wraps) and caches.format.name == "same"
    return plain and stored and config.head_dim <= MOST_HEAD_DIM and decoder.device.type == "cpu"


def _is_few(projection: Projection, rows: int) -> bool:
    """Whether it is one product, by a kernel for few rows."""
    if len(projection.weights) > 1:
        return False
    (weight,) = projection.weights
    if isinstance(weight, QuantizedWeight):
        return weight.format_name in FORMS and rows <= MOST_ROWS
    return rows <= NATIVE_ROWS.get(str(weight.dtype).removeprefix("torch."), 0)


def _layer(decoder: Decoder, caches: KVCaches, index: int, at: FusedLayer) -> Layer:
    cache = caches.layers[index]
    cos, sin = decoder.tables[decoder.config.is_local(index)]
    return Layer(
        attention_norm=at.attention_norm,
        mlp_norm=at.mlp_norm,
        query_norm=at.query_norm,
        key_norm=at.key_norm,
        cos=cos,
        sin=sin,
        keys=cache.keys.planes["data"],
        values=cache.values.planes["data"],
        window=decoder.config.window_of(index),
        qkv=_weight(at.qkv),
        output=_weight(at.output),
        gate_up=_weight(at.gate_up),
        down=_weight(at.down),
    )


def _weight(projection: Projection) -> Weight:
    (weight,), (bias,) = projection.weights, projection.biases
    if isinstance(weight, QuantizedWeight):
        return Weight(planes=weight.planes, form=weight.format_name, bias=bias)
    return Weight(dense=weight, bias=bias)
