"""RMSNorm and LayerNorm in Triton: a row is read once where a program can hold it, sums in float32."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.device import narrow
from attnlab.kernels.triton.row_arguments import RowTiling, check_matrix, check_vector, like_rows, row_tiling


def rms_norm(x: Tensor, weight: Tensor, eps: float, tiling: RowTiling | None = None) -> Tensor:
    """x [M, N] over the root of its rows' mean squares plus eps, times weight [N] -> [M, N] in x's dtype.

    Rows of x may lie apart; tiling: ours where None. Raises ValueError on arguments that do not fit, before any launch.
    """
    return _launch(x, weight, None, eps, tiling)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, tiling: RowTiling | None = None) -> Tensor:
    """x [M, N] less its rows' means, over the root of their variances plus eps, times weight, plus bias, both [N].

    Returns [M, N] in x's dtype. The variance is about the mean, in a pass of its own. Rows of x may lie apart;
    tiling: ours where None. Raises ValueError on arguments that do not fit, before any launch.
    """
    return _launch(x, weight, bias, eps, tiling)


def _launch(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float, tiling: RowTiling | None) -> Tensor:
    check_matrix("x", x)
    rows, width = x.shape
    check_vector("weight", weight, width, x)
    if bias is not None:
        check_vector("bias", bias, width, x)
    out = like_rows(x, width)
    if rows == 0:
        return out
    tiling = tiling or row_tiling(width)
    with torch.cuda.device_of(x):
        _norm[(triton.cdiv(rows, tiling.rows),)](
            x,
            weight,
            weight if bias is None else bias,
            out,
            x.stride(0),
            rows,
            width,
            eps,
            CENTRED=bias is not None,
            WHOLE=tiling.block >= width,
            ROWS=tiling.rows,
            BLOCK=tiling.block,
            num_warps=tiling.num_warps,
        )
    return out


@triton.jit(do_not_specialize=["rows"])
def _norm(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    x_stride: tl.tensor,
    rows: tl.tensor,
    width: tl.tensor,
    eps: tl.tensor,
    CENTRED: tl.constexpr,
    WHOLE: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Some rows, whole or a tile at a time."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    real = row < rows
    source = x + row.to(tl.int64) * x_stride
    target = out + row.to(tl.int64) * width
    column = tl.arange(0, BLOCK)[None, :]
    if WHOLE:
        mask = real & (column < width)
        numbers = tl.load(source + column, mask=mask, other=0.0).to(tl.float32)
        mean = tl.zeros([ROWS, 1], tl.float32)
        if CENTRED:
            mean = tl.sum(numbers, 1)[:, None] / width
            numbers = tl.where(mask, numbers - mean, 0.0)
        factor = 1.0 / tl.sqrt_rn(tl.sum(numbers * numbers, 1)[:, None] / width + eps)
        _finish(numbers * factor, weight, bias, target, column, mask, width, CENTRED)
    else:
        mean = tl.zeros([ROWS, 1], tl.float32)
        if CENTRED:
            total = tl.zeros([ROWS, BLOCK], tl.float32)
            for start in range(0, width, BLOCK):
                mask = real & (start + column < width)
                total += tl.load(source + start + column, mask=mask, other=0.0).to(tl.float32)
            mean = tl.sum(total, 1)[:, None] / width
        squares = tl.zeros([ROWS, BLOCK], tl.float32)
        for start in range(0, width, BLOCK):
            mask = real & (start + column < width)
            numbers = tl.load(source + start + column, mask=mask, other=0.0).to(tl.float32)
            numbers = tl.where(mask, numbers - mean, 0.0)
            squares += numbers * numbers
        factor = 1.0 / tl.sqrt_rn(tl.sum(squares, 1)[:, None] / width + eps)
        for start in range(0, width, BLOCK):
            mask = real & (start + column < width)
            numbers = tl.load(source + start + column, mask=mask, other=0.0).to(tl.float32)
            _finish((numbers - mean) * factor, weight, bias, target, start + column, mask, width, CENTRED)


@triton.jit
def _finish(
    numbers: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    target: tl.tensor,
    column: tl.tensor,
    mask: tl.tensor,
    width: tl.tensor,
    CENTRED: tl.constexpr,
) -> None:
    """Normalised numbers [ROWS, BLOCK] times the weight, plus the bias, stored."""
    there = column < width
    numbers *= tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    if CENTRED:
        numbers += tl.load(bias + column, mask=there, other=0.0).to(tl.float32)
    tl.store(target + column, narrow(numbers, target.dtype.element_ty), mask=mask)
