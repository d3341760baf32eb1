"""The two functions of FlashAttention's Python interface, recording how they are called."""

from __future__ import annotations

from typing import Any

import torch
from plain_attention import NO_LIMIT, Added, attend, attend_ragged
from torch import Tensor

calls: list[dict[str, Any]] = []


def dense(
    q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool, left: int | None, added: Added | None = None
) -> Tensor:
    calls.append({"q": q, "k": k, "v": v, "left": left, "causal": causal})
    return attend(q, k, v, scale, causal, _limit(left), added).to(q.dtype)


def ragged(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    starts: tuple[Tensor, Tensor],
    longest: tuple[int, int],
    scale: float,
    causal: bool,
    left: int | None,
    added: Added | None = None,
) -> Tensor:
    calls.append({"q": q, "k": k, "v": v, "left": left, "causal": causal})
    for start, length in zip(starts, longest, strict=True):
        assert int((start[1:] - start[:-1]).max()) <= length
    return attend_ragged(q, k, v, *starts, scale, causal, _limit(left), added).to(q.dtype)


def cached(
    q: Tensor, k: Tensor, v: Tensor, lengths: Tensor, table: Tensor | None, scale: float, left: int, added: Added
) -> Tensor:
    """q [B, Sq, Hq, D] over caches [B, S, Hkv, D], or over pages that a table names; causal."""
    calls.append({"q": q, "k": k, "v": v, "left": left, "causal": True})
    outs = []
    for n, length in enumerate(lengths.tolist()):
        own = (x[n] if table is None else x[table[n].long()].flatten(0, 1) for x in (k, v))
        keys, values = (x[None, :length] for x in own)
        outs.append(attend(q[n : n + 1], keys, values, scale, True, _limit(left), added))
    return torch.cat(outs).to(q.dtype)


def _limit(left: int | None) -> int:
    return NO_LIMIT if left is None or left < 0 else left
