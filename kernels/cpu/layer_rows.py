"""All layers of a decoder for a few new tokens in one call on a CPU: compiles and calls layer_rows.c."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.kernels.cpu.decode_rows import Shape, library
from attnlab.kernels.cpu.linear_rows import COLUMNS, UNROLL, linear_function
from attnlab.kernels.cpu.quantized_rows import quantized_function, shape_of

SOURCE = Path(__file__).with_suffix(".c")
POINTER = ctypes.c_void_p


class _Product(ctypes.Structure):
    _fields_ = [
        *((name, POINTER) for name in ("function", "weight", "scale", "minimum", "bias")),
        *((name, ctypes.c_long) for name in ("n", "k", "stride")),
    ]


class _Layer(ctypes.Structure):
    _fields_ = [
        *((name, POINTER) for name in ("attention_norm", "mlp_norm", "query_norm", "key_norm")),
        *((name, POINTER) for name in ("cos", "sin", "keys", "values")),
        ("window", ctypes.c_long),
        *((name, _Product) for name in ("qkv", "output", "gate_up", "down")),
    ]


@dataclass(frozen=True, eq=False)
class Weight:
    """A weight [N, K] and its bias [N] or None: in the dtype, or planes in a form of `quantized_rows`."""

    dense: Tensor | None = None
    planes: Mapping[str, Tensor] | None = None
    form: str = ""
    bias: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Layer:
    """What a layer multiplies by. Norms: [H] or [D]. cos and sin: float32 [P, D/2]. keys and values: blocks of the
    cache [B, S, Hkv, D], which are written to. window: of keys, None for all before a token."""

    attention_norm: Tensor
    mlp_norm: Tensor
    query_norm: Tensor | None
    key_norm: Tensor | None
    cos: Tensor
    sin: Tensor
    keys: Tensor
    values: Tensor
    window: int | None
    qkv: Weight
    output: Weight
    gate_up: Weight
    down: Weight


def layer_rows(
    layers: Sequence[Layer], q_heads: int, batch: int, new: int, scale: float, eps: float
) -> Callable[[Tensor, Tensor, int], None]:
    """A function (x [B · S, H], lengths int32 [B], the longest) for S `new` tokens of each of B sequences.

    x is overwritten by what the last layer gives. lengths count the new tokens, whose keys and values are stored behind
    the others. Tensors must be dense and of one dtype, and B · S at most what `linear_rows` takes. It works in as many
    threads as torch does. Raises ValueError on what is not served, NoCompiler where it cannot be compiled here.
    """
    first = layers[0]
    dtype, (_, _, kv_heads, head_dim) = first.keys.dtype, first.keys.shape
    kernel = library(SOURCE, head_dim, dtype).layer_rows
    kernel.argtypes = [POINTER, POINTER, POINTER, ctypes.POINTER(Shape), POINTER, *[ctypes.c_long] * 3, ctypes.c_int]
    rows = batch * new
    table = (_Layer * len(layers))(*(_layer(layer, rows, dtype) for layer in layers))
    constants = (ctypes.c_float * 2)(scale, eps)
    hidden, inner = len(first.attention_norm), table[0].down.k
    width, heads = (q_heads + 2 * kv_heads) * head_dim, q_heads * head_dim
    k, v = first.keys.stride(), first.values.stride()
    shape = Shape(
        *(batch, q_heads, kv_heads, new, 0, 0, True, new * width, head_dim, width),
        *(*k[:3], *v[:3], new * heads, head_dim, heads),
    )
    kept = list(layers)  # whose memory the table points to

    def call(x: Tensor, lengths: Tensor, longest: int) -> None:
        fits = x.shape == (rows, hidden) and x.dtype == dtype and x.is_contiguous()
        if not fits or lengths.shape != (batch,) or lengths.dtype != torch.int32 or longest > kept[0].keys.shape[1]:
            raise ValueError(
                f"got x {list(x.shape)} of {x.dtype} and lengths {list(lengths.shape)} of {lengths.dtype} up to "
                f"{longest}; expected dense [{rows}, {hidden}] of {dtype} and int32 [{batch}] within the cache"
            )
        shape.longest = longest
        where = x.data_ptr(), lengths.data_ptr(), shape, constants
        if kernel(table, *where, len(table), hidden, inner, torch.get_num_threads()):
            raise MemoryError(f"no memory for {rows} rows of a layer")

    return call


def _layer(layer: Layer, rows: int, dtype: torch.dtype) -> _Layer:
    products = (_product(weight, rows, dtype) for weight in (layer.qkv, layer.output, layer.gate_up, layer.down))
    tensors = (
        *(layer.attention_norm, layer.mlp_norm, layer.query_norm, layer.key_norm),
        *(layer.cos, layer.sin, layer.keys, layer.values),
    )
    return _Layer(*map(_address, tensors), layer.window or 0, *products)


def _product(weight: Weight, rows: int, dtype: torch.dtype) -> _Product:
    function: Any
    planes: tuple[int | None, ...]
    bias = _address(weight.bias)
    if weight.planes is None:
        assert weight.dense is not None
        function, (n, k) = linear_function(rows, dtype, UNROLL, COLUMNS), weight.dense.shape
        planes, stride = (weight.dense.data_ptr(), None, None), weight.dense.stride(0)
    else:
        function, (n, k) = quantized_function(rows, dtype, weight.form, None), shape_of(weight.planes, weight.form)
        planes, stride = tuple(_address(weight.planes.get(name)) for name in ("codes", "scale", "minimum")), 0
    return _Product(ctypes.cast(function, POINTER).value, *planes, bias, n, k, stride)


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
