"""Attention of a few new tokens over contiguous caches on a CPU: compiles and calls decode_rows.c."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attnlab.kernels.cpu.row_numbers import DTYPES, compiled, target, variants
from attnlab.kernels.cpu.small_rows import OPTIMISED

SOURCE = Path(__file__).with_suffix(".c")
MOST_HEAD_DIM = 256  # whose vectors the compiler is told to unroll


class Shape(ctypes.Structure):
    """As the source in C has it."""

    _fields_ = [
        (name, ctypes.c_long)
        for name in (
            *("batch", "q_heads", "kv_heads", "new", "longest", "window", "causal"),
            *("q_batch", "q_head", "q_token", "k_batch", "k_token", "k_head", "v_batch", "v_token", "v_head"),
            *("out_batch", "out_head", "out_token"),
        )
    ]


@functools.cache
def decode_rows(
    head_dim: int, dtype: torch.dtype, window: int | None = None, causal: bool = True, variant: str | None = None
) -> Callable[[Tensor, Tensor, Tensor, Tensor, int, float], Tensor]:
    """A function (q [B, Hq, Sq, D], k and v [B, Hkv, S, D], lengths int32 [B], the longest, scale) -> [B, Hq, Sq, D].

    Queries are the last Sq of `lengths` tokens; a window is of so many keys. Channels must be dense. Compiles, in a
    second, once in a process, for one head size of at most MOST_HEAD_DIM. variant: one of `variants()`, the best of
    them where left out. Raises ValueError on what is not served, NoCompiler where it cannot be compiled here.
    """
    if not 1 <= head_dim <= MOST_HEAD_DIM or dtype not in DTYPES:
        raise ValueError(
            f"got heads of {head_dim} channels of {dtype}; expected 1 to {MOST_HEAD_DIM} of "
            f"{', '.join(map(str, DTYPES))}"
        )
    kernel = library(SOURCE, head_dim, dtype, variant).decode_rows
    kernel.argtypes = [*[ctypes.c_void_p] * 5, ctypes.POINTER(Shape), ctypes.POINTER(ctypes.c_float), ctypes.c_int]

    def call(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor, longest: int, scale: float) -> Tensor:
        batch, heads, new, _ = q.shape
        _check(q, k, v, lengths, longest)
        out = torch.empty(batch, new, heads, head_dim, dtype=dtype).transpose(1, 2)
        shape = Shape(
            *(batch, heads, k.shape[1], new, longest, window or 0, causal, *q.stride()[:3]),
            *(k.stride(0), k.stride(2), k.stride(1), v.stride(0), v.stride(2), v.stride(1), *out.stride()[:3]),
        )
        where = q.data_ptr(), k.data_ptr(), v.data_ptr(), out.data_ptr(), lengths.data_ptr()
        if kernel(*where, shape, ctypes.c_float(scale), torch.get_num_threads()):
            raise MemoryError(f"no memory for {batch * heads * new} queries over {longest} keys")
        return out

    def _check(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor, longest: int) -> None:
        for x in (q, k, v):
            if x.dim() != 4 or x.shape[3] != head_dim or x.dtype != dtype or x.stride(3) != 1 or x.is_cuda:
                raise ValueError(
                    f"got {list(x.shape)} of {x.dtype}; expected [B, H, S, {head_dim}] of {dtype} on the CPU with "
                    f"dense channels; cast or copy it"
                )
        fits = k.shape == v.shape and len(q) == len(k) == len(lengths) and q.shape[1] % k.shape[1] == 0
        if not fits or lengths.dtype != torch.int32 or not lengths.is_contiguous() or longest > k.shape[2]:
            raise ValueError(
                f"got q {list(q.shape)}, k {list(k.shape)}, v {list(v.shape)}, lengths {list(lengths.shape)} of "
                f"{lengths.dtype} up to {longest}; expected one batch, query heads in whole groups, and int32 lengths "
                f"within the block"
            )

    return call


@functools.cache
def library(source: Path, head_dim: int, dtype: torch.dtype, variant: str | None = None) -> Any:
    """A source in C for one head size and dtype. Raises NoCompiler."""
    defined = f"-D{DTYPES[dtype]}", f"-DHEAD_DIM={head_dim}"
    return compiled(source, *OPTIMISED, *target(variant or variants()[0]), *defined)
