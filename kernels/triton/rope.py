"""Positions encoded in queries and keys (RoPE, Su et al., arXiv:2104.09864), in Triton: one launch for both."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.device import narrow
from attnlab.kernels.triton.launch_checks import (
    DTYPE_NAMES,
    DTYPES,
    check_dense_rows,
    check_device,
    expect,
)
from attnlab.kernels.triton.row_arguments import RowTiling

STYLES = ("half", "interleaved", "sinusoidal")
PAIRS_A_PROGRAM = 1024
PAIRS_A_WARP = 128


def row_tiling(q_heads: int, kv_heads: int, width: int) -> RowTiling:
    """What is built in: some heads of a token a program, and a block that holds the pairs of one."""
    half = triton.next_power_of_2(width // 2)
    heads = max(1, min(PAIRS_A_PROGRAM // half, triton.next_power_of_2(max(q_heads, kv_heads))))
    return RowTiling(heads, half, max(1, min(4, half * heads // PAIRS_A_WARP)))


def rope(
    q: Tensor,
    k: Tensor,
    cos: Tensor,
    sin: Tensor,
    positions: Tensor,
    style: str = "half",
    *,
    in_place: bool = False,
    tiling: RowTiling | None = None,
) -> tuple[Tensor, Tensor]:
    """q [B, S, Hq, D] and k [B, S, Hkv, D], of one dtype, turned by the angles of their positions -> both, in it.

    cos, sin: float32 [P, D/2], dense. positions: int64 or int32 [B, S], each from 0 to P - 1; they are not read on the
    host, and tokens at others come out as NaN. style: pairs of channels are i and i + D/2 (`half`) or 2i and 2i + 1
    (`interleaved`); `sinusoidal` adds sines to even channels and cosines to odd ones. q and k may be views with any
    strides but in their last axis. in_place: overwrite q and k, and return them; else new ones, dense. tiling: ours
    where None. Raises ValueError on arguments that do not fit, before any launch.
    """
    _check(q, k, cos, sin, positions, style)
    batch, length, q_heads, width = q.shape
    kv_heads = k.shape[2]
    outs = (q, k) if in_place else tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k))
    if q.numel() + k.numel() == 0:
        return outs[0], outs[1]
    tiling = tiling or row_tiling(q_heads, kv_heads, width)
    fits = tiling.block >= width // 2
    expect(fits, f"{tiling}", f"a block of {width // 2} pairs or more", "take the block of `row_tiling`")
    heads = tiling.rows
    q_blocks = triton.cdiv(q_heads, heads)
    with torch.cuda.device_of(q):
        _encode[(batch * length, q_blocks + triton.cdiv(kv_heads, heads))](
            q,
            k,
            *outs,
            cos,
            sin,
            positions,
            q.stride()[:3],
            k.stride()[:3],
            outs[0].stride()[:3],
            outs[1].stride()[:3],
            positions.stride(),
            len(cos),
            length,
            q_heads,
            kv_heads,
            q_blocks,
            STYLE=style,
            HALF=width // 2,
            BLOCK=tiling.block,
            HEADS=heads,
            num_warps=tiling.num_warps,
        )
    return outs[0], outs[1]


def _check(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, positions: Tensor, style: str) -> None:
    expect(style in STYLES, f"style {style!r}", f"one of {', '.join(STYLES)}", "pass one of them")
    for name, x in (("q", q), ("k", k)):
        fits = x.dim() == 4 and x.dtype in DTYPES and x.dtype == q.dtype
        got = f"{name} {list(x.shape)} of {x.dtype}"
        expect(fits, got, f"[B, S, heads, D], both of one of {DTYPE_NAMES}", "reshape or cast it")
        check_dense_rows(name, x)
        check_device(name, x)
    batch, length, _, width = q.shape
    expect(width > 0 and width % 2 == 0, f"head size {width}", "an even one", "pad the heads")
    fits = k.shape[:2] == (batch, length) and k.shape[3] == width
    got = f"k {list(k.shape)} beside q {list(q.shape)}"
    expect(fits, got, f"[{batch}, {length}, heads, {width}]", "pass the same tokens")
    for name, table in (("cos", cos), ("sin", sin)):
        fits = table.dim() == 2 and table.shape == cos.shape and table.shape[1] == width // 2
        fits = fits and table.dtype == torch.float32 and table.is_contiguous()
        got = f"{name} {list(table.shape)} of {table.dtype}"
        wanted = f"[positions, {width // 2}] of torch.float32, dense"
        expect(fits, got, wanted, "make tables for this head size")
    fits = positions.shape == (batch, length) and positions.dtype in (torch.int64, torch.int32)
    got = f"positions {list(positions.shape)} of {positions.dtype}"
    expect(fits, got, f"[{batch}, {length}] of torch.int64", "pass a position for each token")


@triton.jit(do_not_specialize=["table_rows", "length", "q_heads", "kv_heads", "q_blocks"])
def _encode(
    q: tl.tensor,
    k: tl.tensor,
    q_out: tl.tensor,
    k_out: tl.tensor,
    cos: tl.tensor,
    sin: tl.tensor,
    positions: tl.tensor,
    q_strides: tl.tuple,
    k_strides: tl.tuple,
    q_out_strides: tl.tuple,
    k_out_strides: tl.tuple,
    position_strides: tl.tuple,
    table_rows: tl.tensor,
    length: tl.tensor,
    q_heads: tl.tensor,
    kv_heads: tl.tensor,
    q_blocks: tl.tensor,
    STYLE: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
    HEADS: tl.constexpr,
) -> None:
    """Some heads of one token: of the queries, or, in the programs after theirs, of the keys."""
    sequence = (tl.program_id(0) // length).to(tl.int64)
    token = (tl.program_id(0) % length).to(tl.int64)
    position = tl.load(positions + sequence * position_strides[0] + token * position_strides[1]).to(tl.int64)
    pair = tl.arange(0, BLOCK)
    known = (pair < HALF) & (position >= 0) & (position < table_rows)
    c = tl.load(cos + position * HALF + pair, mask=known, other=float("nan"))[None, :]
    s = tl.load(sin + position * HALF + pair, mask=known, other=float("nan"))[None, :]
    block = tl.program_id(1)
    if block < q_blocks:
        head = block * HEADS + tl.arange(0, HEADS)
        source = q + sequence * q_strides[0] + token * q_strides[1] + head[:, None] * q_strides[2]
        target = q_out + sequence * q_out_strides[0] + token * q_out_strides[1] + head[:, None] * q_out_strides[2]
        _encode_heads(source, target, head < q_heads, pair, c, s, STYLE, HALF)
    else:
        head = (block - q_blocks) * HEADS + tl.arange(0, HEADS)
        source = k + sequence * k_strides[0] + token * k_strides[1] + head[:, None] * k_strides[2]
        target = k_out + sequence * k_out_strides[0] + token * k_out_strides[1] + head[:, None] * k_out_strides[2]
        _encode_heads(source, target, head < kv_heads, pair, c, s, STYLE, HALF)


@triton.jit
def _encode_heads(
    source: tl.tensor,
    target: tl.tensor,
    real: tl.tensor,
    pair: tl.tensor,
    c: tl.tensor,
    s: tl.tensor,
    STYLE: tl.constexpr,
    HALF: tl.constexpr,
) -> None:
    """Heads [HEADS, 1] of pointers; both channels of a pair are read before either is written, for in-place."""
    mask = real[:, None] & (pair < HALF)[None, :]
    if STYLE == "half":
        first = pair[None, :]
        second = pair[None, :] + HALF
    else:
        first = 2 * pair[None, :]
        second = 2 * pair[None, :] + 1
    a = tl.load(source + first, mask=mask, other=0.0).to(tl.float32)
    b = tl.load(source + second, mask=mask, other=0.0).to(tl.float32)
    if STYLE == "sinusoidal":
        new_a = a + s
        new_b = b + c
    else:
        new_a = a * c - b * s
        new_b = b * c + a * s
    tl.store(target + first, narrow(new_a, target.dtype.element_ty), mask=mask)
    tl.store(target + second, narrow(new_b, target.dtype.element_ty), mask=mask)
