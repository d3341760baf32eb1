"""How likely a model finds each token of a text that stands before it: the passes, and what is made of their ends.

Windows are read one by one, so that steps of a cache that are set for all tokens are those of the window alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from attnlab.bench import units
from attnlab.bench.llm.caches import Format, KVCache, layout_of
from attnlab.bench.llm.generation.stored import SAME
from attnlab.bench.llm.models.reference import (
    Attending,
    Layer,
    Reading,
    Rounding,
    as_it_is,
    attention,
    checked_ids,
    decode,
    embedded,
    head_logits,
)
from attnlab.bench.llm.models.weights import ModelWeights

TOKENS_AT_ONCE = 128
"""Whose logits are held at a time: one is as large as the vocabulary."""
MOST_KEPT_BYTES = units.GIB
"""Of distributions that are kept, to be compared with several times."""
Spoil = Callable[[KVCache], None]


def as_stored(cache: KVCache) -> None:
    """Nothing is changed."""


@dataclass(frozen=True)
class CachedReading:
    """The right reading of a text whose keys and values all went through a cache; a `reference.Reading`.

    Steps that are set once are those of the window that is read. spoil: what becomes of the cache once it is written.
    """

    format: Format
    spoil: Spoil = as_stored

    def positions(self, right: Tensor) -> tuple[Tensor, Tensor]:
        return right, right

    def attention(self, q: Tensor, k: Tensor, v: Tensor, how: Attending) -> Tensor:
        batch, heads, length, size = k.shape
        cache = KVCache.allocate(
            layout_of("contiguous_bhsd"),
            self.format,
            batch=batch,
            kv_heads=heads,
            head_dim=size,
            dtype=k.dtype,
            capacity=length,
            device=k.device,
        )
        cache.append(k, v)
        self.spoil(cache)
        keys, values = (x.to(k.dtype) for x in cache.read(length=length))
        return attention(q, keys, values, how)


def reading_of(format: Format, spoil: Spoil = as_stored) -> Reading | None:
    """How a text is read whose keys and values are stored in a format; None where that is the dtype."""
    return None if format.name == SAME else CachedReading(format, spoil)


@dataclass(frozen=True, eq=False)
class Scored:
    """Some tokens of a window: the distributions they are drawn from by the model, and which they are.

    logs: [S, V] in float64, natural logarithms of probabilities; tokens: int64 [S].
    """

    logs: Tensor
    tokens: Tensor

    @property
    def right(self) -> Tensor:
        """Of the tokens themselves, [S]."""
        return self.logs.gather(-1, self.tokens[:, None])[:, 0]

    @cached_property
    def top(self) -> Tensor:
        """The most likely token of each distribution, int64 [S]; of scores that are kept it is asked for often."""
        return self.logs.argmax(-1)


def scored_places(window: int, scored: int) -> slice:
    """The places of a window whose predictions count: what they predict are its last `scored` tokens."""
    return slice(window - 1 - scored, window - 1)


@torch.no_grad()
def hidden_states(
    weights: ModelWeights,
    ids: Tensor,
    dtype: torch.dtype = torch.float32,
    rounded: Rounding = as_it_is,
    reading: Reading | None = None,
) -> Tensor:
    """What the last layer gives of windows ids [n, W], each read by itself: [n, W, H] in `dtype`."""
    ids = checked_ids(weights.config, ids.to(weights.device))
    config = weights.config.settled(ids.shape[1], ids.shape[1])
    rows = list(embedded(weights, ids, dtype).split(1))
    for index, stored in enumerate(weights.layers):
        layer = Layer(stored.to(weights.device, dtype), config, index)
        rows = [decode(layer, row, None, rounded, reading)[0] for row in rows]
    return torch.cat(rows)


@torch.no_grad()
def scores(
    weights: ModelWeights, hidden: Tensor, ids: Tensor, scored: int, rounded: Rounding = as_it_is
) -> Iterator[Scored]:
    """The scored tokens of windows ids [n, W], in order, from what the last layer gave of them, hidden [n, W, H].

    Logits are in the dtype of `hidden`, and what is made of them in float64.
    """
    ids = ids.to(hidden.device)
    places = scored_places(ids.shape[1], scored)
    for row, window in zip(hidden[:, places], ids, strict=True):
        tokens = window[-scored:]
        for some, right in zip(row.split(TOKENS_AT_ONCE), tokens.split(TOKENS_AT_ONCE), strict=True):
            logits = head_logits(weights, some[None], hidden.dtype, rounded)[0]
            yield Scored(logits.double().log_softmax(-1), right)


def scores_to_keep(weights: ModelWeights, hidden: Tensor, ids: Tensor, scored: int) -> tuple[Scored, ...] | None:
    """All of `scores`, where they are small enough to be held; None where they are to be worked out each time."""
    kept_bytes = len(ids) * scored * weights.config.vocab_size * torch.float64.itemsize
    return tuple(scores(weights, hidden, ids, scored)) if kept_bytes <= MOST_KEPT_BYTES else None


def right_logs(
    weights: ModelWeights,
    ids: Tensor,
    scored: int,
    dtype: torch.dtype = torch.float32,
    rounded: Rounding = as_it_is,
    reading: Reading | None = None,
) -> Tensor:
    """Natural logarithms of the probabilities of the last `scored` tokens of windows ids [n, W]: float64 [n, scored].

    dtype: of the passes and of their logits. Raises UsageError for ids that the model does not know.
    """
    hidden = hidden_states(weights, ids, dtype, rounded, reading)
    found = torch.cat([some.right for some in scores(weights, hidden, ids, scored, rounded)])
    return found.view(len(ids), scored)
