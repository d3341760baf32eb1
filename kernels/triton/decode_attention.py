"""Decoding in Triton: attention of a few new tokens over a cache in any layout and format.

Technique: Flash-Decoding (Dao et al., 2023): the cache is split over programs, as many as the device holds at
once, each with its share of all sequences' tokens (see `decode_work`), and the parts are added up in the same launch. The query heads of a group share a tile. Codes become numbers in registers (see `decode_planes`);
scales of keys are folded into queries or scores, those of values into weights or the result, those of four-bit codes
into the numbers.

No speed was measured since the work is shared out so, and codes are read in planes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import LOG2_E, reach
from attnlab.kernels.triton.cache_arguments import GROUP
from attnlab.kernels.triton.decode_arguments import Side, check, side
from attnlab.kernels.triton.decode_kernel import decode_kernel

LARGEST_TILE_M = 64  # query rows of a program
LARGEST_SPLITS = 128
GOOD_ENOUGH = 0.85  # of the best share of programs kept busy: fewer splits are then better
PROCESSORS = 132  # of a device that is not there: an H100's or H200's
NUMBERS = {"float32": tl.float32, "float16": tl.float16, "bfloat16": tl.bfloat16}


@dataclass(frozen=True)
class DecodeTiling:
    """How the kernel cuts its work and how it is compiled."""

    block_n: int  # tokens of a tile
    num_warps: int
    num_stages: int  # tiles in flight
    resident: int = 2  # programs that a processor of sm_90 holds at once

    @property
    def meta(self) -> dict[str, Any]:
        return {"BLOCK_N": self.block_n, "INNER": self.num_stages, "num_warps": self.num_warps}


def configuration(head_dim: int, dtype: torch.dtype, key_codec: str, rows: int, page_tokens: int = 0) -> DecodeTiling:
    """The shipped tiling for a head size, dtype, codec of keys, number of query rows and tokens of a page (0: no pages).
    """
    if dtype == torch.float32:
        return DecodeTiling(32, num_warps=4, num_stages=2)
    if key_codec == "same":
        if head_dim <= 64:
            return DecodeTiling(64, num_warps=4, num_stages=4)
        if head_dim <= 128:
            return DecodeTiling(64, num_warps=4, num_stages=3)
        return DecodeTiling(32, num_warps=8 if rows > 16 else 4, num_stages=3)
    tokens = 128 if head_dim <= 128 and rows <= 16 else 64
    if page_tokens >= 64:
        tokens = min(tokens, page_tokens)  # a tile within a page needs one look-up
    return DecodeTiling(tokens, num_warps=4 if head_dim <= 128 else 8, num_stages=3)


def split_count(programs: int, tiles: int, resident: int) -> int:
    """Into how many parts to split sequences of one length, so that programs · splits fill a device.

    tiles: of a sequence. resident: programs that the device holds at once. One where there are programs enough; else
    the least number that comes near the best share of full waves (the rule of FlashAttention's decoding).
    """
    if programs >= 0.8 * resident:
        return 1
    shares = [
        _share_busy(programs * splits, resident) if -(-tiles // -(-tiles // splits)) == splits else 0.0
        for splits in range(1, min(tiles, resident, LARGEST_SPLITS) + 1)
    ]
    return next((number for number, share in enumerate(shares, 1) if share >= GOOD_ENOUGH * max(shares)), 1)


def _share_busy(programs: int, resident: int) -> float:
    return programs / (-(-programs // resident) * resident)


@dataclass(frozen=True)
class Workspace:
    """Where units that share a sequence leave their parts; for launches of one shape, one after another.

    partial: float32 [Hkv · tiles of rows, units, rows, D]; lse: the same without D. counters: int32
    [Hkv · tiles of rows, B], zeros, and zeros again after each launch, so that a graph may replay it.
    """

    partial: Tensor
    lse: Tensor
    counters: Tensor


@dataclass(frozen=True)
class Launch:
    """How one call is cut.

    Sequences of one length have `splits` units each, for each key-value head and each tile of rows. Of others the
    device makes units as long as those would be on the average; no more than `units`.
    """

    tiling: DecodeTiling
    block_m: int
    rows: int  # of a program, as a power of two
    lanes: int  # key-value heads times tiles of rows
    batch: int
    splits: int

    @property
    def units(self) -> int:
        return self.batch * (self.splits + 1) - 1

    def workspace(self, q: Tensor) -> Workspace:
        """For queries [B, Hq, Sq, D] of this shape, on their device."""
        shape = self.lanes, self.units, self.rows
        return Workspace(
            torch.empty(*shape, q.shape[-1], dtype=torch.float32, device=q.device),
            torch.empty(shape, dtype=torch.float32, device=q.device),
            torch.zeros(self.lanes, self.batch, dtype=torch.int32, device=q.device),
        )


def launch(
    q: Tensor, kv_heads: int, *, key_codec: str, page_tokens: int, paged: bool, wraps: bool = False, longest: int,
    window: int | None = None, splits: int | None = None, tiling: DecodeTiling | None = None,
) -> Launch:  # fmt: skip
    """How `decode_attention` cuts a call with these arguments; splits and tiling are chosen where left out."""
    batch, q_heads, q_len, head_dim = q.shape
    rows = q_len * (q_heads // kv_heads)
    tiling = tiling or configuration(head_dim, q.dtype, key_codec, rows, page_tokens if paged or wraps else 0)
    block_m = min(LARGEST_TILE_M if head_dim <= 128 else 32, max(16, triton.next_power_of_2(rows)))
    lanes = kv_heads * triton.cdiv(rows, block_m)
    seen = longest if window is None else min(longest, window + q_len - 1 + tiling.block_n)
    tiles = max(1, triton.cdiv(seen, tiling.block_n))
    splits = splits or split_count(batch * lanes, tiles, _processors(q) * tiling.resident)
    return Launch(tiling, block_m, min(block_m, triton.next_power_of_2(rows)), lanes, batch, splits)


def decode_attention(
    q: Tensor,
    keys: Mapping[str, Tensor],
    values: Mapping[str, Tensor],
    lengths: Tensor,
    *,
    key_codec: str,
    value_codec: str,
    page_tokens: int,
    table: Tensor | None = None,
    wraps: bool = False,
    longest: int,
    scale: float,
    window: int | None = None,
    splits: int | None = None,
    tiling: DecodeTiling | None = None,
    workspace: Workspace | None = None,
) -> Tensor:
    """softmax(scale · q kᵀ) v of the last Sq tokens of each sequence over its cache -> [B, Hq, Sq, D] in q's dtype.

    q [B, Hq, Sq, D], float32, float16 or bfloat16; D from 1 to 256 (with four bits a multiple of 32); Hq a multiple of
    Hkv. keys, values: planes `data` and, by codec, `scale` and `minimum`, [pages, rows, Hkv, width] in any order in
    memory with width last; `scale` of int8_channel is [Hkv, D], of fp8_tensor [1, 1]. Codecs: same, int8_token,
    int8_channel (keys), fp8_tensor, fp8_token, int4_channel (keys) and int4_token (values).

    lengths: int32 [B], tokens of each sequence, the new ones among them: query i stands at lengths - Sq + i and sees no
    later key, and of those before only the last `window`. longest: at least the largest of them; on a GPU they are not
    read on the host. table: int32 [B, N], pages of `page_tokens` tokens; without it sequence b has page b. wraps: token
    t lies at t mod page_tokens. splits: parts that sequences are cut into, on the average; chosen where left out. workspace: what `launch(…)`
    allocates for these arguments, of this call alone until it has run; without one each call has its own.

    A query without a key gives zeros. Raises ValueError on arguments that do not fit, before any launch.
    """
    kv_heads = check(
        q, keys, values, lengths, key_codec, value_codec, page_tokens, table, wraps, longest, scale, window
    )
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    if out.numel() == 0:
        return out
    cut = launch(
        q, kv_heads, key_codec=key_codec, page_tokens=page_tokens, paged=table is not None, wraps=wraps,
        longest=longest, window=window, splits=splits, tiling=tiling,
    )  # fmt: skip
    batch, q_heads, q_len, head_dim = q.shape
    space = workspace or cut.workspace(q)
    k, v = side(keys, key_codec, q, lengths), side(values, value_codec, q, lengths)
    far = cut.tiling.block_n * max(strides[1] for given in (k, v) for strides in given.strides) >= 2**30
    together = (table is None and not wraps) or page_tokens % cut.tiling.block_n == 0
    with torch.cuda.device_of(q):
        decode_kernel[(cut.units * cut.lanes,)](  # on one axis, for the others end at 65,535
            q, k.planes, v.planes, out, space.partial, space.lse, space.counters, lengths,
            lengths if table is None else table, 0 if table is None else table.stride(0),
            q.stride()[:3], k.strides, v.strides, out.stride()[:3],
            scale * LOG2_E, batch, q_heads // kv_heads, q_len, reach(window, longest), cut.units, batch * cut.splits,
            KEYS=_form(k), VALUES=_form(v), PLACE=(page_tokens, table is not None, wraps, together, far),
            WINDOWED=window is not None, HEAD_DIM=head_dim, BLOCK_M=cut.block_m, ROWS=cut.rows, **cut.tiling.meta,
        )  # fmt: skip
    return out


def _form(given: Side) -> tuple[Any, ...]:
    return (*given.form[:-1], NUMBERS[given.form[-1]])


def _processors(q: Tensor) -> int:
    return torch.cuda.get_device_properties(q.device).multi_processor_count if q.is_cuda else PROCESSORS
