"""Decoding in Triton: attention of a few new tokens over a cache in any layout and format.

Technique: Flash-Decoding (Dao et al., 2023): the cache is split over programs, as many as the device holds at once,
each with its share of all sequences' tokens (see `decode_work`), and the parts are added up in the same launch. The
query heads of a group share a tile. Codes become numbers in registers (see `decode_planes`); scales of keys are folded
into queries or scores, those of values into weights or the result, those of four-bit codes into the numbers.

No speed of this design has been measured on a device; what is known is what the compiler makes of it.
"""

from collections.abc import Mapping
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import LOG2_E, reach
from attnlab.kernels.triton.decode_arguments import Side, check, side
from attnlab.kernels.triton.decode_cuts import DecodeTiling, Workspace, cut_call
from attnlab.kernels.triton.decode_kernel import decode_kernel

NUMBERS = {"float32": tl.float32, "float16": tl.float16, "bfloat16": tl.bfloat16}


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
    t lies at t mod page_tokens. splits: parts that sequences are cut into, on the average; chosen where left out, as
    the tiling is. workspace: what `cut_call(…).workspace(q)` allocates for these arguments, of this call alone until it
    has run; without one each call has its own.

    A query without a key gives zeros. Raises ValueError on arguments that do not fit, before any launch.
    """
    kv_heads = check(
        q, keys, values, lengths, key_codec, value_codec, page_tokens, table, wraps, longest, scale, window
    )
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    if out.numel() == 0:
        return out
    cut = cut_call(q, kv_heads, key_codec=key_codec, longest=longest, window=window, splits=splits, tiling=tiling)
    batch, q_heads, q_len, head_dim = q.shape
    space = workspace or cut.workspace(q)
    cut.check(space, q)
    k, v = side(keys, key_codec, q, lengths), side(values, value_codec, q, lengths)
    far = cut.tiling.block_n * max(strides[1] for given in (k, v) for strides in given.strides) >= 2**30
    together = (table is None and not wraps) or page_tokens % cut.tiling.block_n == 0
    with torch.cuda.device_of(q):
        decode_kernel[(cut.units * cut.lanes,)](  # on one axis, for the others end at 65,535
            q, k.planes, v.planes, out, space.partial, space.lse, space.counters, lengths,
            lengths if table is None else table, 0 if table is None else table.stride(0),
            q.stride()[:3], k.strides, v.strides, out.stride()[:3],
            scale * LOG2_E, batch, q_heads // kv_heads, q_len, reach(window, longest), cut.units, cut.target,
            KEYS=_form(k), VALUES=_form(v), PLACE=(page_tokens, table is not None, wraps, together, far),
            WINDOWED=window is not None, HEAD_DIM=head_dim, BLOCK_M=cut.block_m, ROWS=cut.rows, **cut.tiling.meta,
        )  # fmt: skip
    return out


def _form(given: Side) -> tuple[Any, ...]:
    return (*given.form[:-1], NUMBERS[given.form[-1]])
