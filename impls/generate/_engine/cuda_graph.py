"""Decode passes that are captured once as a CUDA graph and replayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from attnlab.impls.generate._engine.attention import AttentionPlan, CachedAttention

Forward = Callable[[Tensor, AttentionPlan], Tensor]
"""forward(ids [B, S], plan) -> logits [B, S, V]; it reads nothing of the cache on the host."""


class DecodeGraph:
    """A pass of `new` tokens a sequence for all sequences of the caches."""

    def __init__(self, forward: Forward, attention: CachedAttention, new: int) -> None:
        caches = self._caches = attention.caches
        ends = [caches.capacity] * len(caches.lengths)  # writes where no token of a request ever is
        self._ids = torch.zeros(len(ends), new, dtype=torch.int64, device=caches.lengths.device)
        caches.set_lengths(ends)
        plan = attention.plan(new, ends)
        self._plan = plan  # parts may work in memory of their own, which must outlive the plans that are kept
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                forward(self._ids, plan)  # compiles, and lets libraries take their workspaces
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = forward(self._ids, plan)

    def replay(self, ids: Tensor, lengths: Sequence[int]) -> Tensor:
        """Logits [B, new, V], which the next replay overwrites; lengths are those after the pass."""
        self._caches.set_lengths(lengths)
        self._ids.copy_(ids)
        self._graph.replay()
        return self._logits
