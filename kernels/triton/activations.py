"""SwiGLU and GELU in Triton: each number is read once, computed in float32 and rounded once."""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.device import narrow
from attnlab.kernels.triton.launch_checks import expect
from attnlab.kernels.triton.row_arguments import RowTiling, check_matrix, like_rows

BUILT_IN = RowTiling(rows=1, block=1024, num_warps=4)
FORMS = ("swiglu", "none", "tanh")
HALF_ROOT = tl.constexpr(math.sqrt(0.5))
TWICE_ROOT = tl.constexpr(2 * math.sqrt(2 / math.pi))
CUBE = tl.constexpr(0.044715)


def swiglu(x: Tensor, tiling: RowTiling = BUILT_IN) -> Tensor:
    """silu of the first half of each row of x [M, 2N] times the second half -> [M, N] in x's dtype.

    Rows of x may lie apart. Raises ValueError on arguments that do not fit, before any launch.
    """
    check_matrix("x", x)
    expect(x.shape[1] % 2 == 0, f"x {list(x.shape)}", "an even number of columns", "put gate and up side by side")
    return _launch(x, x.shape[1] // 2, "swiglu", tiling)


def gelu(x: Tensor, approximate: str, tiling: RowTiling = BUILT_IN) -> Tensor:
    """x [M, N] times the normal distribution function of x -> [M, N] in x's dtype.

    approximate: `none`, by the error function, or `tanh`. Rows of x may lie apart; raises ValueError on arguments that
    do not fit, before any launch.
    """
    check_matrix("x", x)
    expect(approximate in ("none", "tanh"), f"approximate {approximate!r}", "none or tanh", "pass one of them")
    return _launch(x, x.shape[1], approximate, tiling)


def _launch(x: Tensor, width: int, form: str, tiling: RowTiling) -> Tensor:
    out = like_rows(x, width)
    if out.numel() == 0:
        return out
    with torch.cuda.device_of(x):
        _activate[(x.shape[0] * triton.cdiv(width, tiling.block),)](
            x, out, x.stride(0), width, FORM=form, BLOCK=tiling.block, num_warps=tiling.num_warps
        )
    return out


@triton.jit
def _activate(
    x: tl.tensor, out: tl.tensor, x_stride: tl.tensor, width: tl.tensor, FORM: tl.constexpr, BLOCK: tl.constexpr
) -> None:
    """BLOCK columns of one row; tiles of a row run fastest."""
    tiles = tl.cdiv(width, BLOCK)
    row = (tl.program_id(0) // tiles).to(tl.int64)
    column = tl.program_id(0) % tiles * BLOCK + tl.arange(0, BLOCK)
    mask = column < width
    source = x + row * x_stride + column
    numbers = tl.load(source, mask=mask, other=0.0).to(tl.float32)
    if FORM == "swiglu":
        up = tl.load(source + width, mask=mask, other=0.0).to(tl.float32)
        numbers = numbers * tl.sigmoid(numbers) * up
    elif FORM == "tanh":  # (1 + tanh(u)) / 2 is the sigmoid of 2u
        numbers = numbers * tl.sigmoid((numbers + numbers * numbers * numbers * CUBE) * TWICE_ROOT)
    else:
        numbers = 0.5 * numbers * (1.0 + tl.erf(numbers * HALF_ROOT))
    tl.store(out + row * width + column, narrow(numbers, out.dtype.element_ty), mask=mask)
