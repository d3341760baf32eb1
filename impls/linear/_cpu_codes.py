"""Products on a CPU with a weight in codes: few rows by our kernels in C, many by what the codes stand for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attnlab.bench import LinearCase, LinearInputs, Unavailable
from attnlab.bench.llm import activation_codes
from attnlab.impls.linear._cpu_products import Product
from attnlab.kernels.cpu.quantized_rows import FORMS, dequantised_rows, quantized_rows, shape_of
from attnlab.kernels.cpu.row_numbers import MOST_ROWS, NoCompiler, variants

SERVED = tuple(FORMS)
"""Formats of the weight."""

VNNI = "avx512_vnni"  # without its instructions oneDNN's product of signed codes may saturate
DYNAMIC = "int8_dynamic"
TILE_NUMBERS = 4 << 20  # of a weight that are in the dtype at a time: most weights are one tile


def limits(case: LinearCase) -> str | None:
    """Why our kernels in C do not serve a case's weight; None where they do."""
    most = FORMS[case.format].most_columns if case.format in FORMS else None
    return None if most is None or case.k <= most else f"K={case.k} in {case.format} is not served: {most} at most"


def few(case: LinearCase, inputs: LinearInputs) -> Product:
    """x [M, K] -> [M, N] by our kernel in C; raises Unavailable where it cannot be compiled."""
    planes = _planes(inputs)
    try:
        kernel = quantized_rows(case.m, case.torch_dtype, case.format)
    except NoCompiler as error:
        raise Unavailable(str(error)) from error
    shape, bias = shape_of(planes, case.format), inputs.bias
    return lambda x: kernel(x, planes, bias, shape)


def variant() -> str:
    """What our kernels are compiled for here."""
    return variants()[0]


def way_of_many(case: LinearCase) -> str:
    """How `ManyRows` multiplies, in words."""
    if case.format != DYNAMIC:
        return "codes written out in the dtype, oneDNN"
    return "oneDNN on codes" if variant() == VNNI else f"native, {variant()}, {MOST_ROWS} rows at a time"


class ManyRows:
    """Products of many rows. Weights are written out in the dtype a tile at a time, all in one memory."""

    def __init__(self) -> None:
        self._memory = torch.empty(0)

    def product(self, case: LinearCase, inputs: LinearInputs) -> Product:
        """x [M, K] -> [M, N]; raises Unavailable where our kernels cannot be compiled."""
        if case.format == DYNAMIC:
            return _of_codes(inputs) if variant() == VNNI else _in_parts(case, inputs)
        return self._of_tiles(case, inputs)

    def _of_tiles(self, case: LinearCase, inputs: LinearInputs) -> Product:
        planes, bias, dtype = _planes(inputs), inputs.bias, case.torch_dtype
        try:
            dequantised = dequantised_rows(dtype, case.format)
        except NoCompiler as error:
            raise Unavailable(str(error)) from error
        rows = max(1, min(case.n, TILE_NUMBERS // case.k))
        tile = self._tile(rows, case.k, dtype)
        parts = [(start, min(case.n, start + rows)) for start in range(0, case.n, rows)]

        def call(x: Tensor) -> Tensor:
            if len(parts) == 1:
                return _dense(x, dequantised(planes, tile), bias)
            out = x.new_empty(len(x), case.n)
            for start, stop in parts:
                part = {name: plane[start:stop] for name, plane in planes.items()}
                of = None if bias is None else bias[start:stop]
                out[:, start:stop] = _dense(x, dequantised(part, tile[: stop - start]), of)
            return out

        return call

    def _tile(self, rows: int, k: int, dtype: torch.dtype) -> Tensor:
        if self._memory.dtype != dtype or self._memory.numel() < rows * k:
            self._memory = torch.empty(rows * k, dtype=dtype)
        return self._memory[: rows * k].view(rows, k)


def _dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """By oneDNN in float32 too, where it is faster than MKL."""
    if x.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return torch.nn.functional.linear(x, weight, bias)
    out: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    return out


def _of_codes(inputs: LinearInputs) -> Product:
    planes, bias = _planes(inputs), inputs.bias
    codes, scale = planes["codes"].T, planes["scale"].T

    def call(x: Tensor) -> Tensor:
        rounded, of_row = activation_codes(x, "int8_token")
        out = torch._int_mm(rounded, codes) * (of_row * scale)
        return (out if bias is None else out + bias.float()).to(x.dtype)

    return call


def _in_parts(case: LinearCase, inputs: LinearInputs) -> Product:
    """As many rows at a time as our kernel takes."""
    planes, bias, dtype = _planes(inputs), inputs.bias, case.torch_dtype
    try:
        kernels = {rows: quantized_rows(rows, dtype, case.format) for rows in {MOST_ROWS, case.m % MOST_ROWS} - {0}}
    except NoCompiler as error:
        raise Unavailable(str(error)) from error
    return lambda x: torch.cat([kernels[len(part)](part, planes, bias) for part in x.split(MOST_ROWS)])


def _planes(inputs: LinearInputs) -> Mapping[str, Tensor]:
    assert inputs.quantized is not None
    return inputs.quantized.planes
