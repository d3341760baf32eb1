"""Decoding in Triton: attention of a few new tokens over a cache in any layout and format.

Technique: Flash-Decoding (Dao et al., 2023), which is split-K over the cache. Its tokens are shared out to as many
programs as the device holds at once (see `decode_work`), and the parts are added up in the same launch. The query heads
of a group share a tile. Codes become numbers in registers (see `decode_planes`). Scales of keys are folded into queries
or scores, those of values into weights or the result, those of four-bit codes into the numbers.

No speed of this design has been measured on a device; what is known is what the compiler makes of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.kernels.triton.attention_arguments import gathers, strides
from attnlab.kernels.triton.attention_masks import Mask, chosen
from attnlab.kernels.triton.attention_scoring import PLAIN, Scoring, extras, shaping
from attnlab.kernels.triton.cache_forms import Paging
from attnlab.kernels.triton.decode_arguments import Codecs, Side, check, side, window_of
from attnlab.kernels.triton.decode_cuts import Cut, DecodeTiling, Workspace, cut_call
from attnlab.kernels.triton.decode_forms import Plan, Strides, Tensors
from attnlab.kernels.triton.decode_kernel import decode_kernel
from attnlab.kernels.triton.device import LOG2_E


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
    mask: Mask | None = None,
    scoring: Scoring = PLAIN,
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
    later key, and of those before only the last `window`. mask: another than that: chunked, prefix, or a tree whose
    nodes are the new tokens. scoring: soft cap, sinks, and a bias by slopes or distances, with `longest` for Sk.
    longest: at least the largest of the lengths; on a GPU they are not read on the host. table: int32 [B, N], pages of
    `page_tokens` tokens; without it sequence b has page b. wraps: token t lies at t mod page_tokens. splits: parts that
    sequences are cut into, on the average; chosen where left out, as the tiling is. workspace: what
    `cut_call(…).workspace(q)` allocates for these arguments, of this call alone until it has run; without one each call
    has its own.

    A query without a key gives zeros. Raises ValueError on arguments that do not fit, before any launch.
    """
    codecs = Codecs(key_codec, value_codec)
    mask = chosen(mask is None, window, mask)
    kv_heads = check(
        q,
        keys,
        values,
        lengths,
        codecs,
        page_tokens,
        table,
        wraps=wraps,
        longest=longest,
        scale=scale,
        mask=mask,
        scoring=scoring,
    )
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    if out.numel() == 0 or longest == 0:
        return out.zero_()
    cut = cut_call(
        q,
        kv_heads,
        key_codec=key_codec,
        longest=longest,
        window=window_of(mask),
        gathers=gathers(mask, scoring),
        splits=splits,
        tiling=tiling,
    )
    workspace = workspace or cut.workspace(q)
    cut.check(workspace, q)
    k, v = side(keys, key_codec, q, lengths), side(values, value_codec, q, lengths)
    cache = _Cache(k, v, lengths, table, _paging(page_tokens, table, wraps, cut, (k, v)))
    _launch(q, cache, out, workspace, cut, scale, mask, scoring, longest)
    return out


@dataclass(frozen=True)
class _Cache:
    """A cache as the kernel takes it."""

    keys: Side
    values: Side
    lengths: Tensor
    table: Tensor | None
    paging: Paging


def _launch(
    q: Tensor,
    cache: _Cache,
    out: Tensor,
    workspace: Workspace,
    cut: Cut,
    scale: float,
    mask: Mask,
    scoring: Scoring,
    longest: int,
) -> None:
    batch, _, q_len, head_dim = q.shape
    k, v, lengths = cache.keys, cache.values, cache.lengths
    table, table_stride = (lengths, 0) if cache.table is None else (cache.table, cache.table.stride(0))
    with torch.cuda.device_of(q):
        decode_kernel[(cut.units * cut.lanes,)](  # on one axis, for the others end at 65,535
            Tensors(
                q, k.planes, v.planes, out, *workspace.planes, lengths, table, extras(scoring, longest, mask.table)
            ),
            table_stride,
            Strides(strides(q), k.strides, v.strides, strides(out)),
            scale * LOG2_E.value,
            batch,
            cut.group,
            q_len,
            mask.reach(longest),
            cut.units,
            cut.target,
            PLAN=_plan(cache, cut, head_dim, mask, scoring),
            **cut.tiling.options,
        )


def _plan(cache: _Cache, cut: Cut, head_dim: int, mask: Mask, scoring: Scoring) -> Plan:
    return Plan(
        cache.keys.form,
        cache.values.form,
        cache.paging,
        mask.kind,
        mask.causal,
        mask.near,
        shaping(scoring),
        head_dim,
        cut.row_tiles > 1,
        cut.block_m,
        cut.tiling.block_n,
        cut.rows,
        cut.tiling.num_stages,
    )


def _paging(page_tokens: int, table: Tensor | None, wraps: bool, cut: Cut, sides: tuple[Side, Side]) -> Paging:
    """How tokens lie in pages, for the tiles of a cut."""
    block = cut.tiling.block_n
    adjacent = (table is None and not wraps) or page_tokens % block == 0
    wide = block * max(strides[1] for side in sides for strides in side.strides) >= 2**30
    return Paging(page_tokens, table is not None, wraps, adjacent, wide)
