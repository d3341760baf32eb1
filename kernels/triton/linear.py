"""Products with quantised weights in Triton: the weight is read once in its codes, sums in float32."""

import torch
import triton
from torch import Tensor

from attnlab.kernels.triton.device import architecture
from attnlab.kernels.triton.launch_checks import expect
from attnlab.kernels.triton.linear_arguments import (
    FP8,
    INT4,
    INT8,
    STEP,
    LinearTiling,
    PackedWeight,
    check_product,
    linear_tiling,
)
from attnlab.kernels.triton.linear_codes import encode_rows, largest_of_rows
from attnlab.kernels.triton.linear_kernels import codes_kernel, sum_parts, weights_kernel
from attnlab.kernels.triton.row_arguments import check_matrix

TOPS = {INT8: 127, FP8: 448}
BLOCK = 1024  # numbers of a row, or of parts, at a time
FP8_PRODUCTS = 89  # the compute capability from which on there are products of eight-bit floats


def linear(x: Tensor, weight: PackedWeight, bias: Tensor | None = None, tiling: LinearTiling | None = None) -> Tensor:
    """x [M, K] times a weight [N, K] in int8 or int4, plus bias [N] -> [M, N] in x's dtype.

    Whole codes are multiplied in x's dtype, which holds them exactly, and summed in float32; scales come after. Rows
    of x may lie apart; tiling: ours where None. Raises ValueError on arguments that do not fit, before any launch.
    """
    check_matrix("x", x)
    check_product(x, weight, bias)
    expect(weight.kind in (INT4, INT8), f"a weight in {weight.kind}", "int4 or int8", "call linear_codes")
    tiling = tiling or linear_tiling(len(x), weight.rows, weight.kind, False, x.element_size())
    out, sums = _outputs(x, weight, tiling)
    if out.numel() == 0:
        return out
    with torch.cuda.device_of(x):
        weights_kernel[_grid(x, weight, tiling)](
            x,
            weight.codes,
            weight.scale,
            weight.scale if weight.middle is None else weight.middle,
            weight.scale if bias is None else bias,
            sums,
            x.stride(0),
            len(x),
            weight.rows,
            weight.columns,
            KIND=weight.kind,
            GROUP=weight.group,
            MIDDLES=weight.middle is not None,
            BIAS=bias is not None,
            PARTS=tiling.parts,
            BLOCK_N=tiling.block_n,
            BLOCK_M=tiling.block_m,
            BLOCK_K=STEP if weight.kind == INT4 else tiling.block_k,
            **tiling.options,
        )
        _add_up(sums, bias, out, tiling)
    return out


def linear_codes(
    x: Tensor,
    weight: PackedWeight,
    bias: Tensor | None = None,
    each_token: bool = True,
    tiling: LinearTiling | None = None,
) -> Tensor:
    """x [M, K] as codes of the weight's kind, int8 or fp8, times a weight [N, K], plus bias [N] -> [M, N] in x's dtype.

    A scale of x is the largest magnitude over the largest code, of each token or of all. Rows of x may lie apart.
    Raises ValueError on arguments that do not fit, before any launch.
    """
    check_matrix("x", x)
    check_product(x, weight, bias)
    expect(weight.kind in TOPS, f"a weight in {weight.kind}", "int8 or fp8", "call linear")
    tiling = tiling or linear_tiling(len(x), weight.rows, weight.kind, True, x.element_size())
    out, sums = _outputs(x, weight, tiling)
    if out.numel() == 0:
        return out
    codes = torch.empty(x.shape, dtype=torch.int8 if weight.kind == INT8 else torch.uint8, device=x.device)
    x_scale = torch.empty(len(x), dtype=torch.float32, device=x.device)
    largest = x_scale if each_token else torch.empty_like(x_scale)
    with torch.cuda.device_of(x):
        if not each_token:
            largest_of_rows[(len(x),)](x, largest, x.stride(0), weight.columns, BLOCK=BLOCK)
        encode_rows[(len(x),)](
            x,
            codes,
            x_scale,
            largest,
            x.stride(0),
            len(x),
            weight.columns,
            TOP=TOPS[weight.kind],
            WHOLE=not each_token,
            BLOCK=BLOCK,
        )
        as_bits = weight.kind == FP8 and architecture() < FP8_PRODUCTS
        dtype = torch.uint8 if as_bits else weight.codes.dtype
        codes_kernel[_grid(x, weight, tiling)](
            codes.view(dtype),
            weight.codes.view(dtype),
            x_scale,
            weight.scale,
            weight.scale if bias is None else bias,
            sums,
            len(x),
            weight.rows,
            weight.columns,
            KIND="fp8_bits" if as_bits else weight.kind,
            BIAS=bias is not None,
            PARTS=tiling.parts,
            BLOCK_N=tiling.block_n,
            BLOCK_M=tiling.block_m,
            BLOCK_K=tiling.block_k,
            **tiling.options,
        )
        _add_up(sums, bias, out, tiling)
    return out


def _outputs(x: Tensor, weight: PackedWeight, tiling: LinearTiling) -> tuple[Tensor, Tensor]:
    """The output, and where sums go: parts in float32, or the output itself."""
    out = torch.empty(len(x), weight.rows, dtype=x.dtype, device=x.device)
    if tiling.parts == 1:
        return out, out
    return out, torch.empty(tiling.parts, *out.shape, dtype=torch.float32, device=x.device)


def _grid(x: Tensor, weight: PackedWeight, tiling: LinearTiling) -> tuple[int, int]:
    return triton.cdiv(weight.rows, tiling.block_n) * triton.cdiv(len(x), tiling.block_m), tiling.parts


def _add_up(sums: Tensor, bias: Tensor | None, out: Tensor, tiling: LinearTiling) -> None:
    if tiling.parts == 1:
        return
    sum_parts[(triton.cdiv(out.numel(), BLOCK),)](
        sums,
        out if bias is None else bias,
        out,
        out.numel(),
        out.shape[1],
        PARTS=tiling.parts,
        BIAS=bias is not None,
        BLOCK=BLOCK,
    )
