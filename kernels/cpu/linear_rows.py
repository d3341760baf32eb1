"""A few rows times a weight on a CPU, at the speed of reading the weight: compiles and calls linear_rows.c."""

import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

MOST_ROWS = 8  # whose sums fit in a processor's registers
UNROLL, COLUMNS = 2, 1  # what is built in, see the source in C
MOST_UNROLL, MOST_COLUMNS = 8, 8  # that the compiler is told to unroll
SOURCE = Path(__file__).with_suffix(".c")
OPTIONS = ("-std=gnu11", "-O2", "-march=native", "-fopenmp", "-shared", "-fPIC")
DTYPES = {torch.float32: "FLOAT32", torch.float16: "FLOAT16", torch.bfloat16: "BFLOAT16"}


class NoCompiler(RuntimeError):
    """There is no C compiler here, or it does not take the kernel; the message says which, and how to mend it."""


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
    if not 1 <= rows <= MOST_ROWS or dtype not in DTYPES:
        raise ValueError(
            f"got {rows} rows of {dtype}; expected 1 to {MOST_ROWS} of {', '.join(map(str, DTYPES))}; split or cast x"
        )
    if not (1 <= unroll <= MOST_UNROLL and 1 <= columns <= MOST_COLUMNS):
        raise ValueError(
            f"got unroll {unroll} and columns {columns}; expected 1 to {MOST_UNROLL} and 1 to {MOST_COLUMNS}"
        )
    kernel = _compile(f"-DROWS={rows}", f"-D{DTYPES[dtype]}", f"-DUNROLL={unroll}", f"-DCOLUMNS={columns}")

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


def _compile(*defined: str) -> Callable[..., int]:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise NoCompiler(f"needs a C compiler; {compiler[0]} was not found (Debian: apt-get install gcc)")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "linear_rows.so")
        command = [*compiler, *OPTIONS, *defined, str(SOURCE), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["nothing"])[0]
            raise NoCompiler(f"needs a C compiler with OpenMP that knows this processor; {compiler[0]} said: {said}")
        function = ctypes.CDLL(str(library)).linear_rows
    function.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_long] * 4 + [ctypes.c_int]
    return function
