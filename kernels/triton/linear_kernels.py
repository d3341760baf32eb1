"""The kernels of products with quantised weights: x as it is, or as codes; and the sum of their parts."""

import triton
import triton.language as tl

from attnlab.kernels.triton.decode_planes import FP8, FP8_BITS, INT4, INT8, numbers
from attnlab.kernels.triton.device import INTERPRETED, dot, narrow
from attnlab.kernels.triton.linear_codes import nibbles


@triton.jit
def weights_kernel(
    x: tl.tensor,
    codes: tl.tensor,
    scale: tl.tensor,
    middle: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    x_stride: tl.tensor,
    rows: tl.tensor,
    n: tl.tensor,
    k: tl.tensor,
    KIND: tl.constexpr,
    GROUP: tl.constexpr,
    MIDDLES: tl.constexpr,
    BIAS: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    """x as it is: a tile [BLOCK_N, BLOCK_M] of the output, turned; codes of the weight become numbers in registers."""
    row = tl.program_id(0) // tl.cdiv(rows, BLOCK_M) * BLOCK_N + tl.arange(0, BLOCK_N)
    token = tl.program_id(0) % tl.cdiv(rows, BLOCK_M) * BLOCK_M + tl.arange(0, BLOCK_M)
    part = tl.program_id(1)
    there, real = row < n, token < rows
    weight_row = tl.minimum(row, n - 1).to(tl.int64)
    source = x + tl.minimum(token, rows - 1).to(tl.int64)[None, :] * x_stride  # [1, BLOCK_M]
    acc = tl.zeros([BLOCK_N, BLOCK_M], tl.float32)
    steps = tl.cdiv(k, BLOCK_K)
    each = tl.cdiv(steps, PARTS)
    for step in range(part * each, tl.minimum(part * each + each, steps)):
        start = step * BLOCK_K
        if KIND == INT4:
            acc = _int4_step(acc, source, codes, scale, middle, weight_row, start, k, GROUP, MIDDLES)
        else:
            column = start + tl.arange(0, BLOCK_K)
            taken = tl.load(codes + weight_row[:, None] * k + column[None, :], mask=(column < k)[None, :], other=0)
            xs = tl.load(source + column[:, None], mask=(column < k)[:, None], other=0.0)
            (weight,) = numbers(taken, KIND, 1, x.dtype.element_ty)
            acc = dot(weight, xs, acc, "ieee")
    if KIND != INT4:
        acc *= tl.load(scale + weight_row)[:, None]
    target = token.to(tl.int64)[None, :] * n + row[:, None]
    if PARTS > 1:
        target += part.to(tl.int64) * rows * n
    elif BIAS:
        acc += tl.load(bias + row, mask=there, other=0.0).to(tl.float32)[:, None]
    tl.store(out + target, narrow(acc, out.dtype.element_ty), mask=there[:, None] & real[None, :])


@triton.jit
def _int4_step(
    acc: tl.tensor,
    source: tl.tensor,
    codes: tl.tensor,
    scale: tl.tensor,
    middle: tl.tensor,
    row: tl.tensor,
    start: tl.tensor,
    k: tl.tensor,
    GROUP: tl.constexpr,
    MIDDLES: tl.constexpr,
) -> tl.tensor:
    """128 columns: whole codes are summed up over a group, and that sum is scaled."""
    unit = tl.arange(0, 32)
    stride = tl.cdiv(k, 128) * 32
    taken = tl.load(codes + row[:, None] * stride + (start // 4 + unit)[None, :])
    planes = nibbles(taken, source.dtype.element_ty)
    groups = tl.cdiv(k, 128) * (128 // GROUP)
    steps = row * groups + start // GROUP
    for group in tl.static_range(128 // GROUP):
        whole = tl.zeros_like(acc)
        total = tl.zeros([acc.shape[1]], tl.float32)
        for piece in tl.static_range(GROUP // 32):
            column = start + group * GROUP + piece * 32 + unit
            xs = tl.load(source + column[:, None], mask=(column < k)[:, None], other=0.0)
            whole = dot(planes[group * (GROUP // 32) + piece], xs, whole, "ieee")
            if MIDDLES:
                total += tl.sum(xs.to(tl.float32), 0)
        acc += whole * tl.load(scale + steps + group)[:, None]
        if MIDDLES:
            acc += tl.load(middle + steps + group)[:, None] * total[None, :]
    return acc


@triton.jit
def codes_kernel(
    x: tl.tensor,
    codes: tl.tensor,
    x_scale: tl.tensor,
    scale: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    rows: tl.tensor,
    n: tl.tensor,
    k: tl.tensor,
    KIND: tl.constexpr,
    BIAS: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
) -> None:
    """x as codes, dense: a tile [BLOCK_M, BLOCK_N] of the output; codes are multiplied, and the sum scaled."""
    row = tl.program_id(0) // tl.cdiv(rows, BLOCK_M) * BLOCK_N + tl.arange(0, BLOCK_N)
    token = tl.program_id(0) % tl.cdiv(rows, BLOCK_M) * BLOCK_M + tl.arange(0, BLOCK_M)
    part = tl.program_id(1)
    there, real = row < n, token < rows
    weight_row, x_row = tl.minimum(row, n - 1).to(tl.int64), tl.minimum(token, rows - 1).to(tl.int64)
    acc = tl.zeros([BLOCK_M, BLOCK_N], tl.int32 if KIND == INT8 else tl.float32)
    steps = tl.cdiv(k, BLOCK_K)
    each = tl.cdiv(steps, PARTS)
    for step in range(part * each, tl.minimum(part * each + each, steps)):
        column = step * BLOCK_K + tl.arange(0, BLOCK_K)
        xs = tl.load(x + x_row[:, None] * k + column[None, :], mask=(column < k)[None, :], other=0.0)
        weight = tl.load(codes + weight_row[None, :] * k + column[:, None], mask=(column < k)[:, None], other=0.0)
        acc = _multiplied(xs, weight, acc, KIND, BLOCK_K)
    sums = acc.to(tl.float32) * tl.load(x_scale + x_row)[:, None] * tl.load(scale + weight_row)[None, :]
    target = token.to(tl.int64)[:, None] * n + row[None, :]
    if PARTS > 1:
        target += part.to(tl.int64) * rows * n
    elif BIAS:
        sums += tl.load(bias + row, mask=there, other=0.0).to(tl.float32)[None, :]
    tl.store(out + target, narrow(sums, out.dtype.element_ty), mask=real[:, None] & there[None, :])


@triton.jit
def _multiplied(
    xs: tl.tensor, weight: tl.tensor, acc: tl.tensor, KIND: tl.constexpr, BLOCK_K: tl.constexpr
) -> tl.tensor:
    """Whole numbers are summed exactly. Sums of floats leave the tensor cores, which cut them off, after each tile."""
    if KIND == FP8_BITS:  # for devices that have no such products: float16 holds both exactly
        (wide,) = numbers(xs, FP8_BITS, 1, tl.float16)
        (other,) = numbers(weight, FP8_BITS, 1, tl.float16)
        return dot(wide, other, acc, "ieee")
    elif KIND == FP8:
        if INTERPRETED:
            return tl.dot(xs.to(tl.float32), weight.to(tl.float32), acc)
        else:
            return tl.dot(xs, weight, acc, max_num_imprecise_acc=BLOCK_K)
    else:
        return tl.dot(xs, weight, acc, out_dtype=tl.int32)


@triton.jit
def sum_parts(
    parts: tl.tensor,
    bias: tl.tensor,
    out: tl.tensor,
    numbers_: tl.tensor,
    n: tl.tensor,
    PARTS: tl.constexpr,
    BIAS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """parts float32 [PARTS, M, N] added up in their order, and the bias -> out."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = place < numbers_
    total = tl.zeros([BLOCK], tl.float32)
    for part in tl.static_range(PARTS):
        total += tl.load(parts + part * numbers_ + place, mask=there, other=0.0)
    if BIAS:
        total += tl.load(bias + place % n, mask=there, other=0.0).to(tl.float32)
    tl.store(out + place, narrow(total, out.dtype.element_ty), mask=there)
