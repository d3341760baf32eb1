"""Attention of new tokens over a cache of latent tokens (MLA, absorbed), in Triton, which reads each token once.

A token is one vector of D numbers for all query heads, the first L of them its value. Queries of all heads and new
tokens are rows of one tile. So a tile of tokens is read from memory once for up to `block_m` of them, and serves both
products. Long caches are cut into splits, which a second launch joins by their sums.

Floor: D numbers of each token read once, and 2 (D + L) operations for each row and token. With H heads and one new
token in 16 bits that is H (D + L) / D operations a byte, 242 for the 128 heads of DeepSeek.
Sources: DeepSeek-V2 (arXiv:2405.04434); flash-decoding (Dao et al., 2023).
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.device import LOG2_E, TRITON_DTYPES, architecture, dot, narrow
from attnlab.kernels.triton.launch_checks import check_dense_rows, check_device, check_scale, expect

MOST_SPLITS = 64
LEAST_TOKENS_A_SPLIT = 256
PROGRAMS = 264  # that keep a large device busy, twice its multiprocessors
LARGEST = 1024


@dataclass(frozen=True)
class LatentTiling:
    """Rows of queries and tokens of a tile, and how a program is made."""

    block_m: int
    block_n: int
    num_warps: int
    num_stages: int

    def __str__(self) -> str:
        return f"{self.block_m}×{self.block_n} tiles, {self.num_warps} warps, {self.num_stages} stages"


def latent_tiling(rows: int, dtype: torch.dtype, arch: int) -> LatentTiling:
    """What is built in: the sums of a row are 512 numbers in registers, so that tiles are low and warps many."""
    if dtype == torch.float32:
        return LatentTiling(16, 16, 16, 1)
    most = 64 if arch >= 90 else 32  # more spill on sm_80
    block_m = min(most, max(16, triton.next_power_of_2(rows)))
    return LatentTiling(block_m, 32, 4 if block_m == 16 else 8, 2)


def latent_attention(
    q: Tensor,
    tokens: Tensor,
    lengths: Tensor,
    *,
    v_head_dim: int,
    scale: float,
    longest: int,
    table: Tensor | None = None,
    tiling: LatentTiling | None = None,
    splits: int | None = None,
) -> Tensor:
    """q [B, Hq, Sq, D] over tokens [pages, N, 1, D] of its dtype -> [B, Hq, Sq, L], in it; L is v_head_dim.

    lengths: int32 [B], tokens of each sequence with the new ones; query i stands at position length − Sq + i and sees
    no later token; one that sees none has zeros. table: int32 [B, pages a sequence], the page of each N tokens;
    without it sequence b has page b. longest: of the lengths, which are not read on the host. splits: parts of a
    sequence; ours where None. Raises ValueError on arguments that do not fit, before any launch.
    """
    _check(q, tokens, v_head_dim, scale, table)
    batch, heads, q_len, width = q.shape
    out = q.new_empty(batch, heads, q_len, v_head_dim)
    rows = heads * q_len
    if not out.numel():
        return out
    tiling = tiling or latent_tiling(rows, q.dtype, architecture())
    m_tiles = triton.cdiv(rows, tiling.block_m)
    splits = splits or _splits(batch * m_tiles, longest)
    a_split = triton.cdiv(triton.cdiv(max(longest, 1), splits), tiling.block_n) * tiling.block_n
    parts = q.new_empty(splits, batch, rows, v_head_dim, dtype=torch.float32) if splits > 1 else out
    sums = q.new_empty(splits, batch, rows, dtype=torch.float32)
    with torch.cuda.device_of(q):
        _part[(m_tiles, splits, batch)](
            q,
            tokens,
            table,
            lengths,
            parts,
            sums,
            q.stride()[:3],
            tokens.stride()[:2],
            table.stride(0) if table is not None else 0,
            scale * LOG2_E.value,
            heads,
            q_len,
            a_split,
            PAGE=tokens.shape[1] if table is not None else 0,
            LATENT=v_head_dim,
            REST=width - v_head_dim,
            LATENT_BLOCK=triton.next_power_of_2(v_head_dim),
            REST_BLOCK=max(16, triton.next_power_of_2(max(width - v_head_dim, 1))),
            BLOCK_M=tiling.block_m,
            BLOCK_N=tiling.block_n,
            DTYPE=TRITON_DTYPES[q.dtype],
            WHOLE=splits == 1,
            num_warps=tiling.num_warps,
            num_stages=tiling.num_stages,
        )
        if splits > 1:
            _join[(rows, batch)](
                parts,
                sums,
                out,
                splits,
                heads,
                q_len,
                LATENT=v_head_dim,
                BLOCK=triton.next_power_of_2(v_head_dim),
                SPLITS=triton.next_power_of_2(splits),
                DTYPE=TRITON_DTYPES[q.dtype],
                num_warps=4,
            )
    return out


def _splits(programs: int, longest: int) -> int:
    """As many parts as keep a device busy, of 256 tokens or more each."""
    return max(1, min(MOST_SPLITS, PROGRAMS // programs, longest // LEAST_TOKENS_A_SPLIT))


def _check(q: Tensor, tokens: Tensor, v_head_dim: int, scale: float, table: Tensor | None) -> None:
    check_device("q", q)
    expect(q.dtype in TRITON_DTYPES, f"q of {q.dtype}", "float32, float16 or bfloat16", "cast q")
    fits = tokens.dim() == 4 and tokens.shape[2] == 1 and tokens.shape[3] == q.shape[3] and tokens.dtype == q.dtype
    expect(
        fits, f"tokens {list(tokens.shape)} of {tokens.dtype}", f"[pages, N, 1, {q.shape[3]}] of {q.dtype}", "cast them"
    )
    expect(
        1 <= v_head_dim <= q.shape[3] <= LARGEST, f"{v_head_dim} of {q.shape[3]} numbers", f"at most {LARGEST}", "cut"
    )
    check_dense_rows("q", q)
    check_dense_rows("tokens", tokens)
    check_scale(scale)
    if table is None:
        expect(len(tokens) >= len(q), f"{len(tokens)} pages", f"one for each of {len(q)} sequences", "pass a table")
    else:
        expect(
            table.dtype == torch.int32 and len(table) == len(q),
            f"table {table.dtype} {list(table.shape)}",
            f"int32 [{len(q)}, pages]",
            "cast it",
        )


@triton.jit(do_not_specialize=["heads", "q_len", "a_split"])
def _part(
    q: tl.tensor,
    tokens: tl.tensor,
    table: tl.tensor,
    lengths: tl.tensor,
    parts: tl.tensor,
    sums: tl.tensor,
    q_strides: tl.tensor,
    token_strides: tl.tensor,
    table_stride: tl.tensor,
    scale: tl.tensor,
    heads: tl.tensor,
    q_len: tl.tensor,
    a_split: tl.tensor,
    PAGE: tl.constexpr,
    LATENT: tl.constexpr,
    REST: tl.constexpr,
    LATENT_BLOCK: tl.constexpr,
    REST_BLOCK: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    DTYPE: tl.constexpr,
    WHOLE: tl.constexpr,
) -> None:
    """Some rows of a sequence over some of its tokens. Scores are in base two; sums [splits, B, rows] are their log."""
    split, sequence = tl.program_id(1), tl.program_id(2).to(tl.int64)
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    real = row < heads * q_len
    head, query = row // q_len, row % q_len  # as the output lies: [Hq, Sq]
    length = tl.load(lengths + sequence)
    latent, rest = tl.arange(0, LATENT_BLOCK), tl.arange(0, REST_BLOCK)
    at = q + sequence * q_strides[0] + head.to(tl.int64)[:, None] * q_strides[1] + query[:, None] * q_strides[2]
    q_latent = tl.load(at + latent[None, :], mask=real[:, None] & (latent < LATENT)[None, :], other=0.0)
    q_rest = tl.load(at + LATENT + rest[None, :], mask=real[:, None] & (rest < REST)[None, :], other=0.0)
    position = length - q_len + query
    first = split * a_split
    end = tl.minimum(first + a_split, length)
    top = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    acc = tl.zeros([BLOCK_M, LATENT_BLOCK], tl.float32)
    for start in tl.range(first, end, BLOCK_N):
        token = start + tl.arange(0, BLOCK_N)
        there = token < end
        if PAGE:
            page = tl.load(table + sequence * table_stride + token // PAGE, mask=there, other=0).to(tl.int64)
            place = tokens + page * token_strides[0] + (token % PAGE).to(tl.int64) * token_strides[1]
        else:
            place = tokens + sequence * token_strides[0] + token.to(tl.int64) * token_strides[1]
        k_latent = tl.load(
            place[:, None] + latent[None, :], mask=there[:, None] & (latent < LATENT)[None, :], other=0.0
        )
        scores = dot(q_latent, tl.trans(k_latent), None, "ieee")
        if REST:
            k_rest = tl.load(
                place[:, None] + LATENT + rest[None, :], mask=there[:, None] & (rest < REST)[None, :], other=0.0
            )
            scores = dot(q_rest, tl.trans(k_rest), scores, "ieee")
        seen = there[None, :] & (token[None, :] <= position[:, None])
        scores = tl.where(seen, scores * scale, float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, 1))
        known = tl.where(new_top == float("-inf"), 0.0, new_top)
        weights = tl.exp2(scores - known[:, None])
        shrink = tl.exp2(top - known)
        total = total * shrink + tl.sum(weights, 1)
        acc = dot(narrow(weights, DTYPE), k_latent, acc * shrink[:, None], "ieee")
        top = new_top
    acc = acc / tl.where(total > 0, total, 1.0)[:, None]
    at_row = (split.to(tl.int64) * tl.num_programs(2) + sequence) * heads * q_len + row
    wanted = real[:, None] & (latent < LATENT)[None, :]
    if WHOLE:
        tl.store(parts + at_row[:, None] * LATENT + latent[None, :], narrow(acc, DTYPE), mask=wanted)
    else:
        tl.store(parts + at_row[:, None] * LATENT + latent[None, :], acc, mask=wanted)
        tl.store(sums + at_row, top + tl.log2(total), mask=real)


@triton.jit(do_not_specialize=["splits", "heads", "q_len"])
def _join(
    parts: tl.tensor,
    sums: tl.tensor,
    out: tl.tensor,
    splits: tl.tensor,
    heads: tl.tensor,
    q_len: tl.tensor,
    LATENT: tl.constexpr,
    BLOCK: tl.constexpr,
    SPLITS: tl.constexpr,
    DTYPE: tl.constexpr,
) -> None:
    """One row: parts weighed by their sums; zeros where no split has a token."""
    row = tl.program_id(1).to(tl.int64) * heads * q_len + tl.program_id(0)
    rows = tl.num_programs(1).to(tl.int64) * heads * q_len
    latent = tl.arange(0, BLOCK)
    split = tl.arange(0, SPLITS)
    logs = tl.load(sums + split * rows + row, mask=split < splits, other=float("-inf"))
    top = tl.max(logs, 0)
    top = tl.where(top == float("-inf"), 0.0, top)
    total = tl.sum(tl.exp2(logs - top), 0)
    acc = tl.zeros([BLOCK], tl.float32)
    for n in range(splits):
        share = tl.exp2(tl.load(sums + n * rows + row) - top)
        acc += share * tl.load(parts + (n * rows + row) * LATENT + latent, mask=latent < LATENT, other=0.0)
    acc = acc / tl.where(total > 0, total, 1.0)
    tl.store(out + row * LATENT + latent, narrow(acc, DTYPE), mask=latent < LATENT)
