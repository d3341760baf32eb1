"""FlashAttention's algorithm in eager PyTorch, to be read: softmax carried on from block to block of keys.

Technique: FlashAttention-2 (Dao, 2023, arXiv:2307.08691), forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, Configuration, Space, implements
from attnlab.impls import _eager
from attnlab.impls._configs import Chooser, attention_shape
from attnlab.impls._heads import as_heads, as_rows

BLOCK_Q, BLOCK_K = 256, 512  # rows of a tile; large, because each costs some ten eager calls


@dataclass(frozen=True)
class Tile:
    """A block of keys that some query of a block may see; `forbidden` is [Bq, Bk], `bias` [Hq, Bq, Bk], or None."""

    keys: slice
    forbidden: Tensor | None
    bias: Tensor | None


@dataclass(frozen=True)
class QueryBlock:
    """A block of queries and the key blocks it visits: those that the mask forbids whole are left out."""

    rows: slice
    tiles: tuple[Tile, ...]


def _unfit(case: AttentionCase, tile: Configuration) -> str | None:
    for name, length in (("block_q", case.q_len), ("block_k", case.kv_len)):
        if int(tile[name]) >= 2 * length:
            return f"{name} is twice the length of {length} or more, as half of it would do"
    return None


SPACE = Space(
    axes={"block_q": (64, 128, 256, 512, 1024), "block_k": (64, 128, 256, 512, 1024)},
    default=lambda case: {"block_q": BLOCK_Q, "block_k": BLOCK_K},
    shape=attention_shape,
    unfit=_unfit,
)


@implements("attention", name="tiled", space=SPACE, serves=_eager.SERVES)
class Tiled:
    """FlashAttention's algorithm in eager PyTorch: online softmax over blocks, no score matrix, readable."""

    def __init__(self) -> None:
        self._chooser = Chooser("attention/tiled", SPACE)

    def prepare(
        self, case: AttentionCase, inputs: AttentionInputs, chosen: Configuration | None = None
    ) -> list[QueryBlock]:
        tile = self._chooser.take(case, inputs.q.device, chosen)
        block_q, block_k = int(tile["block_q"]), int(tile["block_k"])
        blocks, starts = [], (0, 0)
        for q_len, kv_len in case.sequences if case.packed else [(case.q_len, case.kv_len)]:
            sequence = Sequence(inputs, q_len, kv_len, *starts)
            for first in range(0, q_len, block_q):
                blocks.append(sequence.block(range(first, min(first + block_q, q_len)), block_k))
            starts = starts[0] + q_len, starts[1] + kv_len
        return blocks

    def configuration(self, case: AttentionCase) -> str | None:
        return self._chooser.told(case, lambda tile: f"{tile['block_q']}×{tile['block_k']} tiles")

    def run(self, inputs: AttentionInputs, blocks: list[QueryBlock]) -> Tensor:
        q, k, v = _eager.normed(inputs.q, inputs.q_norm), _eager.normed(inputs.k, inputs.k_norm), inputs.v
        out = q.new_empty(*q.shape[:3], v.shape[3])
        for block in blocks:
            out[:, :, block.rows] = _attend_block(q[:, :, block.rows], k, v, block.tiles, inputs)
        return out


def _attend_block(q: Tensor, k: Tensor, v: Tensor, tiles: tuple[Tile, ...], inputs: AttentionInputs) -> Tensor:
    heads, length = q.shape[1:3]
    q = as_rows(q.float() * inputs.scale, k.shape[1])  # [B, Hkv, G·Bq, D]
    acc = q.new_zeros(*q.shape[:3], v.shape[3])  # [B, Hkv, G·Bq, Dv]
    total = q.new_zeros(*q.shape[:3], 1)  # the softmax's denominator so far
    peak = torch.full_like(total, torch.finfo(total.dtype).min)  # largest score so far; finite, so never NaN
    if inputs.sinks is not None:  # a score that is there before any key, of no value
        as_heads(peak, heads, length).copy_(inputs.sinks[:, None, None])
        total.fill_(1.0)
    for tile in tiles:
        scores = q @ k[:, :, tile.keys].float().mT  # [B, Hkv, G·Bq, Bk]
        if inputs.softcap is not None:
            scores = inputs.softcap * (scores / inputs.softcap).tanh()
        if tile.bias is not None:
            as_heads(scores, heads, length).add_(tile.bias)
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


@dataclass(frozen=True)
class Sequence:
    """One sequence of a pack, or those of a batch: its lengths, and where its queries and keys begin."""

    inputs: AttentionInputs
    q_len: int
    kv_len: int
    q_start: int
    k_start: int

    def block(self, rows: range, block_k: int) -> QueryBlock:
        """The block of these queries."""
        mask, kv_len = self.inputs.mask, self.kv_len
        numbers = torch.arange(rows[0], rows[-1] + 1, device=self.inputs.q.device)
        low, _ = mask.key_range(rows[0], self.q_len, kv_len)  # ranges move right from row to row
        _, high = mask.key_range(rows[-1], self.q_len, kv_len)
        forbidden = ~mask.permitted(numbers, self.q_len, kv_len)
        tiles = []
        for key in range(low // block_k * block_k, high, block_k):
            end = min(key + block_k, kv_len)
            some = forbidden[:, key:end].clone()
            keys = slice(self.k_start + key, self.k_start + end)
            tiles.append(Tile(keys, some if bool(some.any()) else None, self._bias(numbers, key, end)))
        return QueryBlock(slice(self.q_start + rows[0], self.q_start + rows[-1] + 1), tuple(tiles))

    def _bias(self, rows: Tensor, first: int, end: int) -> Tensor | None:
        """[Hq, Bq, Bk], or None."""
        table = self.inputs.bias_table
        if table is None or self.inputs.bias.kind == "dense":
            return None if table is None else table[:, rows, first:end]
        distance = torch.arange(first, end, device=rows.device) - (rows[:, None] + self.kv_len - self.q_len)
        return self.inputs.bias.of(table, distance, self.inputs.mask.is_causal)
