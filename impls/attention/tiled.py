"""FlashAttention's algorithm in eager PyTorch, to be read: softmax carried on from block to block of keys.

Technique: FlashAttention-2 (Dao, 2023, arXiv:2307.08691), forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, implements
from attnlab.impls._heads import as_heads, as_rows

BLOCK_Q, BLOCK_K = 256, 512  # rows of a tile; large, because each costs some ten eager calls


@dataclass(frozen=True)
class Tile:
    """A block of keys that some query of a block may see; `forbidden` is [Bq, Bk], or None."""

    keys: slice
    forbidden: Tensor | None


@dataclass(frozen=True)
class QueryBlock:
    """A block of queries and the key blocks it visits: those that the mask forbids whole are left out."""

    rows: slice
    tiles: tuple[Tile, ...]


@implements("attention", name="tiled")
class Tiled:
    """FlashAttention's algorithm in eager PyTorch: online softmax over blocks, no score matrix, readable."""

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> list[QueryBlock]:
        blocks, start = [], 0
        for q_len, kv_len in case.sequences if case.packed else [(case.q_len, case.kv_len)]:
            for first in range(0, q_len, BLOCK_Q):
                blocks.append(_query_block(case, first, q_len, kv_len, start, inputs.q.device))
            start += q_len
        return blocks

    def run(self, inputs: AttentionInputs, blocks: list[QueryBlock]) -> Tensor:
        q, k, v = inputs.q, inputs.k, inputs.v
        out = q.new_empty(*q.shape[:3], v.shape[3])
        for block in blocks:
            out[:, :, block.rows] = _attend_block(q[:, :, block.rows], k, v, block.tiles, inputs.scale)
        return out


def _attend_block(q: Tensor, k: Tensor, v: Tensor, tiles: tuple[Tile, ...], scale: float) -> Tensor:
    heads, length = q.shape[1:3]
    q = as_rows(q.float() * scale, k.shape[1])  # [B, Hkv, G·Bq, D]
    acc = q.new_zeros(*q.shape[:3], v.shape[3])  # [B, Hkv, G·Bq, Dv]
    total = q.new_zeros(*q.shape[:3], 1)  # the softmax's denominator so far
    peak = torch.full_like(total, torch.finfo(total.dtype).min)  # largest score so far; finite, so never NaN
    for tile in tiles:
        scores = q @ k[:, :, tile.keys].float().mT  # [B, Hkv, G·Bq, Bk]
        if tile.forbidden is not None:
            as_heads(scores, heads, length).masked_fill_(tile.forbidden, float("-inf"))
        new_peak = torch.maximum(peak, scores.amax(-1, keepdim=True))
        shrink = torch.exp(peak - new_peak)
        p = torch.exp(scores - new_peak)
        acc = acc * shrink + p @ v[:, :, tile.keys].float()
        total = total * shrink + p.sum(-1, keepdim=True)
        peak = new_peak
    out = torch.where(total > 0, acc / total, 0.0)  # a row without a permitted key is zeros
    return as_heads(out, heads, length)  # [B, Hq, Bq, Dv]


def _query_block(
    case: AttentionCase, first: int, q_len: int, kv_len: int, start: int, device: torch.device
) -> QueryBlock:
    """The block of queries from row `first` of a sequence that begins at `start`."""
    last = min(first + BLOCK_Q, q_len) - 1
    low, shared_high = case.mask.key_range(first, q_len, kv_len)  # ranges move right from row to row
    shared_low, high = case.mask.key_range(last, q_len, kv_len)
    forbidden = ~case.mask.permitted(torch.arange(first, last + 1, device=device), q_len, kv_len)
    tiles = []
    for key in range(low // BLOCK_K * BLOCK_K, high, BLOCK_K):
        end = min(key + BLOCK_K, kv_len)
        free = shared_low <= key and end <= shared_high
        keys = slice(start + key, start + end)
        tiles.append(Tile(keys, None if free else forbidden[:, key:end].clone()))
    return QueryBlock(slice(start + first, start + last + 1), tuple(tiles))
