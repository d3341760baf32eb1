"""One tile of a cache in the online softmax of decoding: scores of its keys, weights, and sums of its values."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from attnlab.kernels.triton import decode_tiles as tiles
from attnlab.kernels.triton.attention_scores import shaped
from attnlab.kernels.triton.attention_seen import attention_mask
from attnlab.kernels.triton.decode_planes import INT4
from attnlab.kernels.triton.decode_scales import GRAIN, exponent_of, power_of_two


class Softmax(NamedTuple):
    """The state of an online softmax.

    acc: sums of values [M, D], over 2^grain of where they have scales of tokens. total: of weights, [M, 1] or, column
    by column, [M, BLOCK_N]. peak: the largest score [M], before it is multiplied by `log2`; in base 2 with cap or bias.
    """

    acc: Any
    total: Any
    peak: Any
    grain: Any


class Rows(NamedTuple):
    """The rows of a program.

    queries: in parts [M, BLOCK]. log2: what scores of each are multiplied by [M]. length: of the sequence. query: each
    one's [M] of its q_len new tokens. size: of the mask. bias: as `attention_scores.bias_of` gives it.
    """

    queries: Any
    log2: Any
    head: Any
    length: Any
    query: Any
    q_len: Any
    size: Any
    bias: Any


class Tokens(NamedTuple):
    """Where the tokens of a tile are, for one head.

    start: the first one. row: which each row of the tile holds, from there. valid: which there are. first, places: page
    and place in it, of the first one and of each. groups: pages of the groups of 32.
    """

    start: Any
    row: Any
    valid: Any
    first: Any
    places: Any
    groups: Any
    head: Any


@triton.jit
def add_tile(
    state: tl.tuple,
    rows: tl.tuple,
    tensors: tl.tuple,
    strides: tl.tuple,
    pages: tl.tuple,
    tile: tl.tensor,
    PLAN: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tuple:
    """The state after one more tile."""
    KEYS: tl.constexpr = PLAN.keys
    PAGING: tl.constexpr = PLAN.paging
    SHAPING: tl.constexpr = PLAN.shaping
    acc, total, peak, grain = state
    start = tile * PLAN.block_n
    row = tiles.order(PLAN.block_n, KEYS)
    token = start + row
    valid = token < rows.length
    first, places = (pages[0], _place(start, PAGING)), (pages[0], _place(token, PAGING))
    tokens = Tokens(start, row, valid, first, places, pages[1], rows.head)
    scores = _scores(rows, tensors.k, strides.k, tokens, PLAN, MASKED)  # [M, N]
    log2 = rows.log2
    query, key = rows.query[:, None], token[None, :]
    if not SHAPING.plain:
        scores, _ = shaped(
            scores, log2[:, None], tensors.extras, rows.bias, query, key, rows.q_len, rows.length, SHAPING
        )
        log2 = tl.full([PLAN.block_m], 1.0, tl.float32)
    if MASKED:
        allowed = attention_mask(query, key, rows.q_len, rows.length, rows.size, tensors.extras.table, PLAN)
        scores = tl.where(allowed, scores, float("-inf"))

    new_peak = tl.maximum(peak, tl.max(scores, 1))
    anchor = tl.where(new_peak == float("-inf"), 0.0, new_peak) * log2  # -inf less -inf would be NaN
    weights = tl.exp2(scores * log2[:, None] - anchor[:, None])
    fade = tl.exp2(peak * log2 - anchor)
    if total.shape[1] == PLAN.block_n:
        total = total * fade[:, None] + weights
    else:
        total = total * fade[:, None] + tl.sum(weights, 1)[:, None]
    acc, grain = _add_values(acc, grain, fade, weights, tensors.v, strides.v, tokens, PLAN, MASKED)
    return Softmax(acc, total, new_peak, grain)


@triton.jit
def _scores(
    rows: tl.tuple,
    planes: tl.tuple,
    strides: tl.tuple,
    tokens: tl.tuple,
    PLAN: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tensor:
    """Queries times keys [M, N], with the scales of tokens."""
    KEYS: tl.constexpr = PLAN.keys
    origin, offsets = _rows(strides[0], tokens, PLAN)
    keys = tiles.load_parts(planes[0] + origin, offsets, tokens.valid, PLAN.head_dim, KEYS, MASKED)
    if KEYS.kind == INT4:
        keys = _scaled_keys(keys, planes, strides[1], tokens, rows.length, PLAN, MASKED)
    scores = tiles.score_parts(rows.queries, keys)
    if KEYS.scales == "token":
        origin, offsets = _rows(strides[1], tokens, PLAN)
        scores *= _load_row(planes[1] + origin, offsets, tokens.valid, MASKED)[None, :]
    return scores


@triton.jit
def _add_values(
    acc: tl.tuple,
    grain: tl.tensor,
    fade: tl.tensor,
    weights: tl.tensor,
    planes: tl.tuple,
    strides: tl.tuple,
    tokens: tl.tuple,
    PLAN: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tuple:
    """(acc times fade plus weights times values, the grain that it has then)."""
    VALUES: tl.constexpr = PLAN.values
    origin, offsets = _rows(strides[0], tokens, PLAN)
    values = tiles.load_parts(planes[0] + origin, offsets, tokens.valid, PLAN.head_dim, VALUES, MASKED)
    if VALUES.scales != "nothing" and VALUES.scales != "tensor":
        origin, offsets = _rows(strides[1], tokens, PLAN)
        scale = planes[1] + origin
        if VALUES.kind == INT4:
            values = tiles.token_scales(
                scale, planes[2] + origin, offsets, tokens.valid, values, PLAN.head_dim, VALUES, MASKED
            )
        else:
            scales = _load_row(scale, offsets, tokens.valid, MASKED)
            coarser = tl.maximum(grain, exponent_of(tl.max(tl.abs(scales), 0)))
            fade *= power_of_two(grain - coarser)
            weights *= (scales * power_of_two(-coarser + GRAIN))[None, :]
            grain = coarser
    return tiles.add_values(tiles.scale_parts(acc, fade), weights, values), grain


@triton.jit
def _rows(strides: tl.tuple, tokens: tl.tuple, PLAN: tl.constexpr) -> tl.tuple:
    """(elements to a tile of a plane, elements from there to each token's row)."""
    PAGING: tl.constexpr = PLAN.paging
    return tiles.tile_rows(strides, tokens.first, tokens.places, tokens.head, tokens.row, PAGING)


@triton.jit
def _place(token: tl.tensor, PAGING: tl.constexpr) -> tl.tensor:
    if PAGING.has_table or PAGING.wraps:
        return token % PAGING.page_tokens
    else:
        return token


@triton.jit
def _scaled_keys(
    codes: tl.tuple,
    planes: tl.tuple,
    strides: tl.tuple,
    tokens: tl.tuple,
    length: tl.tensor,
    PLAN: tl.constexpr,
    MASKED: tl.constexpr,
) -> tl.tuple:
    """Half of four-bit keys; their scales lie in rows of a group of 32 tokens each."""
    KEYS: tl.constexpr = PLAN.keys
    PAGING: tl.constexpr = PLAN.paging
    group = tl.arange(0, PLAN.block_n // 32)
    token = tokens.start + 32 * group
    first = tokens.groups, _place(tokens.start, PAGING) // 32
    places = tokens.groups, _place(token, PAGING) // 32
    origin, offsets = tiles.tile_rows(strides, first, places, tokens.head, group, PAGING)
    scale, minimum, there = planes[1] + origin, planes[2] + origin, token < length
    return tiles.group_scales(scale, minimum, offsets, there, codes, PLAN.head_dim, KEYS, PLAN.block_n, MASKED)


@triton.jit
def _load_row(pointer: tl.tensor, offsets: tl.tensor, valid: tl.tensor, MASKED: tl.constexpr) -> tl.tensor:
    if MASKED:
        return tl.load(pointer + offsets, mask=valid, other=0.0)
    else:
        return tl.load(pointer + offsets)
