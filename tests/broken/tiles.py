"""Tiled attention that loses, repeats or wrongly joins a tile of keys."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import pad

from attnlab.bench.ops.attention.case import AttentionCase

from .collection import ATTENTION_DEFECTS, always, pairs
from .honest import Attention, Online, SplitKeys

broken = ATTENTION_DEFECTS.broken
TILE = Online.tile


def last_start(kv_len: int) -> int:
    return (kv_len - 1) // TILE * TILE


def ragged(case: AttentionCase) -> bool:
    return case.kv_len % TILE != 0


def sees(case: AttentionCase, first: int, last: int) -> bool:
    """Some query may see a key from `first` on and before `last`."""
    return bool(pairs(Attention(), case)[:, first:last].any())


def tiles_seen(case: AttentionCase) -> bool:
    """Some query sees keys of two tiles."""
    allowed = pairs(Attention(), case)
    return any(sum(bool(part.any()) for part in row.split(TILE)) > 1 for row in allowed)


@broken(ragged)
class LastTileDropped(Online):
    """The number of tiles is rounded down."""

    def starts(self, kv_len: int) -> list[int]:
        return list(range(0, kv_len // self.tile * self.tile, self.tile))


@broken(lambda case: sees(case, 0, TILE))
class FirstTileDropped(Online):
    """The loop starts at the second tile."""

    def starts(self, kv_len: int) -> list[int]:
        return super().starts(kv_len)[1:]


def last_tile_shares(case: AttentionCase) -> bool:
    """Some query sees keys of the last tile and of another."""
    seen, start = pairs(Attention(), case), last_start(case.kv_len)
    return bool((seen[:, :start].any(-1) & seen[:, start:].any(-1)).any())


@broken(last_tile_shares)
class LastTileTwice(Online):
    """The last tile is counted twice."""

    def starts(self, kv_len: int) -> list[int]:
        return [*super().starts(kv_len), last_start(kv_len)]


@broken(lambda case: case.kv_len > 2 * TILE and sees(case, TILE, 2 * TILE))
class SecondTileDropped(Online):
    """The second tile is left out."""

    def starts(self, kv_len: int) -> list[int]:
        starts = super().starts(kv_len)
        return starts[:1] + starts[2:]


@broken(always)
class LastKeyDropped(Online):
    """Every row loses the very last key."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        permitted = permitted.clone()
        permitted[:, -1] = False
        return super().attend(scores, permitted, v)


@broken(lambda case: sees(case, TILE - 1, TILE) and case.q_len > 16)
class KeyAtAnEdgeDropped(Online):
    """The last key of the first tile is lost, by the last sixteen rows that should see it."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        permitted = permitted.clone()
        see = permitted[:, TILE - 1].nonzero().flatten()
        permitted[see[-16:], TILE - 1] = False
        return super().attend(scores, permitted, v)


@broken(lambda case: ragged(case) and not case.mask.is_causal and not case.packed)
class PaddingCounted(Online):
    """The last tile is filled up with keys of score 0 that nothing masks."""

    def attend(self, scores: Tensor, permitted: Tensor, v: Tensor) -> Tensor:
        missing = -scores.shape[-1] % self.tile
        padded = pad(scores, (0, missing)), pad(permitted, (0, missing), value=True)
        return super().attend(*padded, pad(v, (0, 0, 0, missing)))


@broken(tiles_seen)
class NotRescaled(Online):
    """Output and sum of earlier tiles are kept as they were when the maximum grows."""

    def accumulate(self, so_far: Tensor, old: Tensor, added: Tensor) -> Tensor:
        return so_far + added


@broken(lambda case: tiles_seen(case) and case.v_head_dim > 1)
class OutputNotRescaled(Online):
    """The sum [..., 1] is rescaled when the maximum grows, the output [..., Dv] is not."""

    def accumulate(self, so_far: Tensor, old: Tensor, added: Tensor) -> Tensor:
        return so_far + added if so_far.shape[-1] > 1 else super().accumulate(so_far, old, added)


@broken(lambda case: longest_row(case) > 1)
class PartsAveraged(SplitKeys):
    """Parts of the keys are joined by their plain mean."""

    def join(self, outs: Tensor, sums: Tensor) -> Tensor:
        seen = (sums > -math.inf).float()
        return (outs * seen).sum(0) / seen.sum(0).clamp_min(1.0)


def longest_row(case: AttentionCase) -> int:
    """Parts of the keys that the best-served query sees."""
    size = -(-case.kv_len // SplitKeys.parts)
    allowed = pairs(Attention(), case)
    return max(sum(bool(part.any()) for part in row.split(size)) for row in allowed)
