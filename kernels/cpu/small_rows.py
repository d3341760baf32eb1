"""RMSNorm, turning by angles and SwiGLU of rows on a CPU, each in one pass: compiles and calls small_rows.c."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from attnlab.kernels.cpu.row_numbers import DTYPES, compiled, function, target, variants

SOURCE = Path(__file__).with_suffix(".c")
OPTIMISED = ("-O3", "-fno-math-errno")
STYLES = ("half", "interleaved")
"""Of turning: pairs of channels that are half a head apart, or neighbours."""


@functools.cache
def norm_rows(dtype: torch.dtype, variant: str | None = None) -> Callable[[Tensor, Tensor, float], Tensor]:
    """A function (x [M, N] with dense rows, weight [N], eps) -> [M, N]: RMSNorm in float32, rounded once.

    variant: one of `variants()`, the best of them where left out. Compiles, in a second, once in a process. Raises
    ValueError on a dtype that is not served, NoCompiler where it cannot be compiled here.
    """
    kernel = function(_library(dtype, variant), "norm_rows", pointers=4, longs=3, result=None)

    def call(x: Tensor, weight: Tensor, eps: float) -> Tensor:
        _check(x, dtype, weight.shape[-1])
        if weight.dtype != dtype or weight.dim() != 1 or not weight.is_contiguous():
            raise ValueError(f"got a weight {list(weight.shape)} of {weight.dtype}; expected dense [N] of {dtype}")
        out, eps_at = torch.empty(x.shape, dtype=dtype), _float(eps)
        where = x.data_ptr(), weight.data_ptr(), out.data_ptr(), eps_at.data_ptr()
        kernel(*where, *x.shape, x.stride(0), torch.get_num_threads())
        return out

    return call


@functools.cache
def turn_rows(
    dtype: torch.dtype, style: str = "half", variant: str | None = None
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """A function (x [M, H, D] with dense heads, cos and sin float32 [P, D/2], positions int64 [M]) -> [M, H, D].

    style: one of STYLES. Otherwise as `norm_rows`.
    """
    if style not in STYLES:
        raise ValueError(f"got style {style!r}; expected one of {', '.join(STYLES)}")
    kernel = function(_library(dtype, variant), "turn_rows", pointers=5, longs=5, result=None)

    def call(x: Tensor, cos: Tensor, sin: Tensor, positions: Tensor) -> Tensor:
        tokens, heads, width = x.shape
        _check(x[:, 0], dtype, 2 * cos.shape[1])
        dense = cos.is_contiguous() and sin.is_contiguous() and positions.is_contiguous()
        if not dense or cos.dtype != torch.float32 or positions.shape != (tokens,) or x.stride(1) != width:
            raise ValueError(f"got x {list(x.shape)}, positions {list(positions.shape)}; expected dense [M, H, D], [M]")
        out = torch.empty(x.shape, dtype=dtype)
        where = x.data_ptr(), cos.data_ptr(), sin.data_ptr(), positions.data_ptr(), out.data_ptr()
        kernel(*where, tokens, heads, width, x.stride(0), style == "interleaved", torch.get_num_threads())
        return out

    return call


@functools.cache
def swiglu_rows(dtype: torch.dtype, variant: str | None = None) -> Callable[[Tensor], Tensor]:
    """A function (x [M, 2N] with dense rows, gates first) -> [M, N]; otherwise as `norm_rows`."""
    kernel = function(_library(dtype, variant), "swiglu_rows", pointers=2, longs=3, result=None)

    def call(x: Tensor) -> Tensor:
        _check(x, dtype, x.shape[-1])
        rows, width = len(x), x.shape[1] // 2
        out = torch.empty(rows, width, dtype=dtype)
        kernel(x.data_ptr(), out.data_ptr(), rows, width, x.stride(0), torch.get_num_threads())
        return out

    return call


@functools.cache
def _library(dtype: torch.dtype, variant: str | None) -> object:
    if dtype not in DTYPES:
        raise ValueError(f"got {dtype}; expected one of {', '.join(map(str, DTYPES))}")
    return compiled(SOURCE, *OPTIMISED, *target(variant or variants()[0]), f"-D{DTYPES[dtype]}")


@functools.cache
def _float(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float32)


def _check(x: Tensor, dtype: torch.dtype, width: int) -> None:
    fits = x.dim() == 2 and x.shape[1] == width and x.dtype == dtype and x.device.type == "cpu"
    if not fits or (width > 1 and x.stride(1) != 1):
        raise ValueError(
            f"got x {list(x.shape)} of {x.dtype}; expected rows of {width} numbers of {dtype} on the CPU, dense; "
            f"cast or copy it"
        )
