"""Captured decode passes without a GPU: a stand-in for the graph runs again what was captured, on the same tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor

from attnlab.bench.llm.caches import format_of, layout_of
from attnlab.bench.llm.models.weights import ModelWeights
from attnlab.impls.generate._engine.attention import AttentionPlan, CachedAttention
from attnlab.impls.generate._engine.cuda_graph import DecodeGraph
from attnlab.impls.generate._engine.kv_caches import KVCaches
from attnlab.impls.generate._engine.parts import Parts

BATCH, CAPACITY, NEW = 2, 12, 3


class RecordingForward:
    """Logits that say which ids went in and how long sequences were, worked out again by `replay`."""

    def __init__(self, caches: KVCaches) -> None:
        self.caches, self.lengths = caches, []

    def __call__(self, ids: Tensor, plan: AttentionPlan) -> Tensor:
        self.ids, self.logits = ids, torch.zeros(*ids.shape, 2)
        self.lengths.append(self.caches.lengths.tolist())
        self.replay()
        return self.logits

    def replay(self) -> None:
        self.logits[..., 0] = self.ids
        self.logits[..., 1] = self.caches.lengths[:, None]


@pytest.fixture
def attention(tiny: Callable[..., ModelWeights]) -> CachedAttention:
    config, layout, format = tiny(8).config, layout_of("contiguous_bhsd"), format_of("same")
    caches = KVCaches(config, layout, format, torch.float32, torch.device("cpu"), BATCH, CAPACITY)
    return CachedAttention(config, Parts(), caches)


def test_a_replay_sees_the_ids_and_lengths_of_its_pass(
    attention: CachedAttention, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = RecordingForward(attention.caches)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: forward)
    monkeypatch.setattr(torch.cuda, "graph", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, mock.Mock())
    graph = DecodeGraph(forward, attention, NEW)
    assert forward.lengths == [[CAPACITY] * BATCH] * 3, "nothing is written over before the first pass"
    for first, lengths in ((1, [5, 7]), (4, [8, 10])):
        ids = torch.arange(first, first + BATCH * NEW).view(BATCH, NEW)
        logits = graph.replay(ids, lengths)
        assert logits[..., 0].tolist() == ids.tolist()
        assert logits[..., 1].tolist() == [[length] * NEW for length in lengths]
