"""A few rows times a weight on a CPU, at the speed of reading the weight: compiles and calls linear_rows.c."""

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from attnlab.kernels.cpu.row_numbers import DTYPES, MOST_ROWS, compiled, function

UNROLL, COLUMNS = 2, 1  # what is built in, see the source in C
MOST_UNROLL, MOST_COLUMNS = 8, 8  # that the compiler is told to unroll
SOURCE = Path(__file__).with_suffix(".c")


@functools.cache
def linear_rows(
    rows: int, dtype: torch.dtype, unroll: int = UNROLL, columns: int = COLUMNS
) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """A function (x [rows, K], weight [N, K], bias [N] or None) -> [rows, N] for one number of rows and one dtype.

    unroll: sums for each row of x. columns: rows of the weight that are read together. Compiles, in a fraction of a
    second, once in a process. Rows of x and of the weight must be dense; sums are in float32. The function works in as
    many threads as torch does. Raises ValueError on rows, a dtype or a tile that are not served, NoCompiler where it
    cannot be compiled here.
    """
    kernel = linear_function(rows, dtype, unroll, columns)

    def call(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        _check(x, weight, bias, rows, dtype)
        n, k = weight.shape
        out = torch.empty(rows, n, dtype=dtype)
        bias_at = None if bias is None else bias.data_ptr()
        if kernel(
            x.data_ptr(),
            weight.data_ptr(),
            bias_at,
            out.data_ptr(),
            n,
            k,
            x.stride(0),
            weight.stride(0),
            torch.get_num_threads(),
        ):
            raise MemoryError(f"no memory for {rows} rows of {k} numbers in float32")
        return out

    return call


@functools.cache
def linear_function(rows: int, dtype: torch.dtype, unroll: int = UNROLL, columns: int = COLUMNS) -> Callable[..., int]:
    """The function in C itself, which takes pointers; otherwise as `linear_rows`."""
    if not 1 <= rows <= MOST_ROWS or dtype not in DTYPES:
        raise ValueError(
            f"got {rows} rows of {dtype}; expected 1 to {MOST_ROWS} of {', '.join(map(str, DTYPES))}; split or cast x"
        )
    if not (1 <= unroll <= MOST_UNROLL and 1 <= columns <= MOST_COLUMNS):
        raise ValueError(
            f"got unroll {unroll} and columns {columns}; expected 1 to {MOST_UNROLL} and 1 to {MOST_COLUMNS}"
        )
    defined = (f"-DROWS={rows}", f"-D{DTYPES[dtype]}", f"-DUNROLL={unroll}", f"-DCOLUMNS={columns}")
    library = compiled(SOURCE, "-O2", "-march=native", *defined)
    return function(library, "linear_rows", pointers=4, longs=4)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, rows: int, dtype: torch.dtype) -> None:
    n, k = weight.shape
    fits = x.shape == (rows, k) and x.dtype == weight.dtype == dtype and x.device.type == weight.device.type == "cpu"
    if not fits or (k > 1 and (x.stride(1) != 1 or weight.stride(1) != 1)):
        raise ValueError(
            f"got x {list(x.shape)} of {x.dtype} and weight {list(weight.shape)} of {weight.dtype}; expected "
            f"[{rows}, K] and [N, K] of {dtype} on the CPU with dense rows; cast or copy them"
        )
    if bias is not None and not (bias.shape == (n,) and bias.dtype == dtype and bias.is_contiguous()):
        raise ValueError(f"got a bias {list(bias.shape)} of {bias.dtype}; expected [{n}] of {dtype}; cast or copy it")
