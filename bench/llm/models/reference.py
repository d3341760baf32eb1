"""The plain decoder in torch that generation is checked against: no cache, no tricks, memory kept modest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

from attnlab.bench.errors import UsageError
from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.rotary import rotary_tables, rotate
from attnlab.bench.llm.models.weights import LayerWeights, ModelWeights
from attnlab.bench.llm.quantization.activations import quantised

TOKENS_AT_ONCE = 4096
"""Rows that go through a layer together, in whole sequences: bounds what the MLP between holds."""

QUERIES_AT_ONCE = 256
VOCABULARY_AT_ONCE = 16384
Rounding = Callable[[Tensor], Tensor]
"""What becomes of activations `[..., K]` before each product with weights."""


class Reading(Protocol):
    """Another way to read a text than the right one, or with other rounding: positions, and attention over keys."""

    def positions(self, right: Tensor) -> tuple[Tensor, Tensor]:
        """Those of queries and of keys, int64 [S], or what broadcasts to [B, heads, S]."""
        ...

    def attention(self, q: Tensor, k: Tensor, v: Tensor, how: Attending) -> Tensor:
        """As `attention`, over a whole text."""
        ...


@dataclass(frozen=True, eq=False)
class Attending:
    """How a layer's scores become weights. sinks: a logit for each query head [Hq]."""

    scale: float
    cap: float | None
    window: int | None
    sinks: Tensor | None

    def weights(self, scores: Tensor, seen: Tensor) -> Tensor:
        """Of scaled scores [B, Hq, S, T], which are written to, and which keys a query sees, bool [S, T]; NaN in a row
        without keys and sinks."""
        scores = soft_capped(scores, self.cap).masked_fill_(~seen, -torch.inf)
        if self.sinks is None:
            return scores.softmax(-1)
        column = self.sinks.to(scores.dtype)[:, None, None].expand(*scores.shape[:-1], 1)
        return torch.cat([scores, column], -1).softmax(-1)[..., :-1]


SUMMED = ("output", "down")
"""Projections whose inputs ranks have parts of."""
CAST_WHOLE_BYTES = 4 << 30
"""Of weights: larger models are cast to another dtype layer by layer in each pass, for lack of memory."""


@dataclass(frozen=True, eq=False)
class LayerCache:
    """What a layer keeps of the tokens so far, after the rotation."""

    keys: Tensor  # [B, Hkv, S, D]
    values: Tensor  # [B, Hkv, S, D]


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights of one layer, in the dtype of the pass, and which layer of the model it is.

    ranks: that add up what attention gives and the MLP, each its part, which is rounded to the dtype before.
    """

    weights: LayerWeights
    config: ModelConfig
    index: int
    ranks: int = 1

    def normed(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """`x`, normed where the model has such a norm."""
        return x if weight is None else rms_norm(x, weight, self.config.norm_eps)

    @property
    def attending(self) -> Attending:
        config = self.config
        return Attending(config.scale, config.score_softcap, config.window_of(self.index), self.weights.sinks)

    def project(self, x: Tensor, name: str, bias: Tensor | None = None) -> Tensor:
        """The projection of that name of `x` `[..., K]`, which is quantised beforehand where its format asks for it."""
        matrix: Tensor = getattr(self.weights, name)
        x = quantised(x, self.weights.activations.get(name, "same"), x.dtype)
        if self.ranks == 1 or name not in SUMMED:
            return project(x, matrix, bias)
        parts = zip(x.chunk(self.ranks, -1), matrix.chunk(self.ranks, 1), strict=True)
        total: Tensor = sum(project(part, own, None) for part, own in parts)  # type: ignore[assignment]
        return total if bias is None else total + bias


def as_it_is(x: Tensor) -> Tensor:
    return x


@torch.no_grad()
def reference_logits(
    weights: ModelWeights,
    ids: Tensor,
    dtype: torch.dtype = torch.float32,
    last: int | None = None,
    rounded: Rounding = as_it_is,
    reading: Reading | None = None,
    ranks: int = 1,
) -> Tensor:
    """Logits after each of `ids` `[B, T]` int64, as `[B, T, V]` in `dtype` on the device of the weights.

    last: only of so many last positions, `[B, last, V]`, since the head is as dear as the layers. Weights are
    cast to `dtype` one layer at a time. A shorter sequence may be padded on its right: no token sees later ones.
    rounded: for the logits of an engine that rounds its activations. reading: another way to read the text. ranks: for
    those of an engine whose ranks share each layer, see `Layer`. Rotary frequencies that depend on the length are those
    of T tokens.
    """
    ids = checked_ids(weights.config, ids.to(weights.device))
    length = ids.shape[1]
    config = weights.config.settled(length, length)
    last = length if last is None else last
    if not 1 <= last <= length:
        raise UsageError(f"got last={last}, expected 1 to the {length} tokens of the prompt")
    hidden = embedded(weights, ids, dtype)
    group = max(1, TOKENS_AT_ONCE // length) if reading is None else len(ids)
    for index, stored in enumerate(weights.layers):
        layer = Layer(stored.to(weights.device, dtype), config, index, ranks)
        parts = [decode(layer, part, None, rounded, reading)[0] for part in hidden.split(group)]
        hidden = torch.cat(parts) if len(parts) > 1 else parts[0]
    return head_logits(weights, hidden[:, length - last :], dtype, rounded)


@torch.no_grad()
def reference_answers(
    weights: ModelWeights, prompt: Tensor, answers: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Logits at each place of several answers `[A, N]` to one prompt `[P]`, which is read once: `[A, N, V]` in `dtype`.

    What the answers begin with comes from the prompt alone; their last tokens are not read. Weights are cast to `dtype`
    one layer at a time. Rotary frequencies that depend on the length are those of all P + N - 1 tokens.
    """
    ids = checked_ids(weights.config, prompt.to(weights.device)[None])
    after = checked_ids(weights.config, answers.to(weights.device))
    count, new = after.shape
    length = ids.shape[1] + new - 1
    config = weights.config.settled(length, length)
    hidden, rest = embedded(weights, ids, dtype), embedded(weights, after[:, :-1], dtype)
    for index, stored in enumerate(weights.layers):
        layer = Layer(stored.to(weights.device, dtype), config, index)
        hidden, cache = decode(layer, hidden, None)
        if new > 1:
            shared = (x.expand(count, -1, -1, -1) for x in (cache.keys, cache.values))
            rest, _ = decode(layer, rest, LayerCache(*shared))
    return head_logits(weights, torch.cat([hidden[:, -1:].expand(count, -1, -1), rest], 1), dtype)


@torch.no_grad()
def reference_greedy(weights: ModelWeights, ids: Tensor, new_tokens: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The most probable next token, `new_tokens` times over: `[B, new_tokens]` int64 after `ids` `[B, T]`.

    Keys and values are kept, so that a token costs one pass of one row. An end token does not end it. Raises UsageError
    where rotary frequencies change on the way.
    """
    cast = weights
    if weights.nbytes <= CAST_WHOLE_BYTES:
        cast = weights.to(weights.device, dtype)
    chosen = checked_ids(weights.config, ids.to(weights.device))
    config = weights.config.settled(chosen.shape[1], chosen.shape[1] + max(new_tokens - 1, 0))
    caches: list[LayerCache | None] = [None] * len(weights.layers)
    produced = []
    for _ in range(new_tokens):
        hidden = embedded(weights, chosen, dtype)
        for index, stored in enumerate(cast.layers):
            layer = Layer(stored.to(weights.device, dtype), config, index)
            hidden, caches[index] = decode(layer, hidden, caches[index])
        chosen = head_logits(cast, hidden[:, -1:], dtype).argmax(-1)  # [B, 1]
        produced.append(chosen)
    return torch.cat(produced, dim=1)


def checked_ids(config: ModelConfig, ids: Tensor) -> Tensor:
    if ids.ndim != 2 or ids.dtype != torch.int64 or ids.numel() == 0:
        raise UsageError(f"got token ids {ids.dtype} {list(ids.shape)}, expected int64 [B, T] of a token or more")
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= config.vocab_size:
        raise UsageError(f"got token ids from {low} to {high}, expected 0 to {config.vocab_size - 1} of {config.name}")
    return ids


def embedded(weights: ModelWeights, ids: Tensor, dtype: torch.dtype) -> Tensor:
    """`[B, S, H]` of ids `[B, S]`."""
    rows = weights.embedding[ids].to(dtype)
    return rows * embedding_scale(weights.config, weights.dtype) if weights.config.scaled_embedding else rows


def embedding_scale(config: ModelConfig, dtype: torch.dtype) -> float:
    """What embeddings are multiplied by: √H, rounded to the dtype of the weights as Gemma was trained with it.

    At 3072 it is 55.4256, in bfloat16 55.5 (transformers, `Gemma2TextScaledWordEmbedding`).
    """
    return float(torch.tensor(config.hidden_size**0.5 if config.scaled_embedding else 1.0, dtype=dtype))


def decode(
    layer: Layer, hidden: Tensor, past: LayerCache | None, rounded: Rounding = as_it_is, reading: Reading | None = None
) -> tuple[Tensor, LayerCache]:
    """One layer over `hidden` `[B, S, H]`, which follows what `past` holds; and the cache with S tokens more."""
    weights, config = layer.weights, layer.config
    first = 0 if past is None else past.keys.shape[2]
    positions = torch.arange(first, first + hidden.shape[1], device=hidden.device)
    places = (positions, positions) if reading is None else reading.positions(positions)
    tables = [rotary_tables(config, place, config.is_local(layer.index)) for place in places]
    normed = rounded(rms_norm(hidden, weights.attention_norm, config.norm_eps))
    q, k, v = (
        split_heads(layer.project(normed, name, bias), config.head_dim)
        for name, bias in (
            ("query", weights.query_bias),
            ("key", weights.key_bias),
            ("value", weights.value_bias),
        )
    )
    q = rotate(layer.normed(q, weights.query_norm), *tables[0])
    k = rotate(layer.normed(k, weights.key_norm), *tables[1])
    if past is not None:
        k, v = torch.cat([past.keys, k], dim=2), torch.cat([past.values, v], dim=2)
    attend = attention if reading is None else reading.attention
    branch = layer.project(rounded(attend(q, k, v, layer.attending)), "output", weights.output_bias)
    hidden = hidden + layer.normed(branch, weights.attention_branch_norm)
    normed = rounded(rms_norm(hidden, weights.mlp_norm, config.norm_eps))
    if weights.experts is None:
        mlp = activated(layer.project(normed, "gate"), config.activation).mul_(layer.project(normed, "up"))
        branch = layer.project(rounded(mlp), "down")
    else:
        branch = weights.experts.of(normed, config.experts_per_token, rounded)
    return hidden + layer.normed(branch, weights.mlp_branch_norm), LayerCache(k, v)


def activated(gate: Tensor, activation: str) -> Tensor:
    """One of `config.ACTIVATIONS`."""
    return silu(gate) if activation == "silu" else gelu(gate, approximate="tanh")


def soft_capped(x: Tensor, cap: float | None) -> Tensor:
    """c · tanh(x / c), within ± c; `x` itself, written to, where there is a cap."""
    return x if cap is None else x.div_(cap).tanh_().mul_(cap)


def attention(q: Tensor, k: Tensor, v: Tensor, how: Attending) -> Tensor:
    """The last queries `[B, Hq, S, D]` over keys and values `[B, Hkv, T, D]`, causal; `[B, S, Hq * D]`."""
    batch, q_heads, length, size = q.shape
    keys = k.shape[2]
    grouped = q.reshape(batch, k.shape[1], -1, length, size)  # [B, Hkv, G, S, D]
    position = torch.arange(keys, device=q.device)
    outputs: list[Tensor] = []
    for rows in grouped.split(QUERIES_AT_ONCE, dim=3):
        start = keys - length + sum(x.shape[3] for x in outputs)
        own = torch.arange(start, start + rows.shape[3], device=q.device)[:, None]
        seen = position <= own if how.window is None else (position <= own) & (position > own - how.window)
        stop = start + rows.shape[3]
        flat = rows.flatten(2, 3)  # [B, Hkv, G * rows, D]
        scores = (flat @ k[:, :, :stop].mT * how.scale).view(batch, q_heads, rows.shape[3], stop)
        weights = how.weights(scores, seen[:, :stop])
        outputs.append((weights.reshape(*flat.shape[:3], stop) @ v[:, :, :stop]).view_as(rows))
    attended = torch.cat(outputs, dim=3).view(batch, q_heads, length, size)
    return attended.transpose(1, 2).flatten(2)


def head_logits(weights: ModelWeights, hidden: Tensor, dtype: torch.dtype, rounded: Rounding = as_it_is) -> Tensor:
    """`[B, S, V]` of `hidden` `[B, S, H]`; the head is cast to `dtype` in blocks of rows."""
    normed = rounded(rms_norm(hidden, weights.output_norm.to(dtype), weights.config.norm_eps))
    stored = weights.quantized_head
    if stored is not None:
        normed = quantised(normed, stored.format.activations, dtype)
    logits = normed.new_empty(*normed.shape[:2], weights.config.vocab_size)
    for start in range(0, weights.config.vocab_size, VOCABULARY_AT_ONCE):
        stop = start + VOCABULARY_AT_ONCE
        rows = weights.head[start:stop].to(dtype) if stored is None else stored.rows(start, stop, dtype)
        logits[..., start : start + len(rows)] = normed @ rows.T
    return soft_capped(logits, weights.config.logit_softcap)


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """In float32 or wider, as all engines do: squares of real activations are beyond float16."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)).to(x.dtype) * weight


def project(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight.T if bias is None else x @ weight.T + bias


def split_heads(x: Tensor, head_dim: int) -> Tensor:
    """`[B, S, heads * D]` to `[B, heads, S, D]`."""
    return x.view(*x.shape[:2], -1, head_dim).transpose(1, 2)
