"""SmolLM2-135M-Instruct in plain torch, as far as is needed to see what its attention is given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from attnlab.bench.models.gguf_file import GgufFile
from attnlab.bench.models.gguf_model import half_split_rows

LAYERS = 30
Q_HEADS = 9
KV_HEADS = 3
HEAD_DIM = 64
ROPE_THETA = 100_000.0
NORM_EPSILON = 1e-5

CHUNK_TOKENS = 256
"""Rows that go through a matrix product together. Its shape is the same however long the text is, so that the
first T tokens come out bit for bit the same whatever follows them."""


@dataclass(frozen=True)
class Layer:
    """Weights of one layer, float32, each `[out, in]`; the rows of `query` and `key` in half-split order."""

    attention_norm: Tensor  # [576]
    query: Tensor  # [Q_HEADS * HEAD_DIM, 576]
    key: Tensor  # [KV_HEADS * HEAD_DIM, 576]
    value: Tensor  # [KV_HEADS * HEAD_DIM, 576]
    attention_output: Tensor  # [576, Q_HEADS * HEAD_DIM]
    mlp_norm: Tensor  # [576]
    gate: Tensor  # [1536, 576]
    up: Tensor  # [1536, 576]
    down: Tensor  # [576, 1536]


class Checkpoint:
    """The weights in a GGUF file, float32, read when asked for, so that one layer at a time is in memory.

    Raises ImportError where the package gguf is missing.
    """

    def __init__(self, path: Path) -> None:
        self._file = GgufFile(path)

    def tensor(self, name: str) -> Tensor:
        return self._file.tensor(name)

    def layer(self, index: int) -> Layer:
        def weight(name: str) -> Tensor:
            return self.tensor(f"blk.{index}.{name}.weight")

        return Layer(
            attention_norm=weight("attn_norm"),
            query=half_split_rows(weight("attn_q"), Q_HEADS),
            key=half_split_rows(weight("attn_k"), KV_HEADS),
            value=weight("attn_v"),
            attention_output=weight("attn_output"),
            mlp_norm=weight("ffn_norm"),
            gate=weight("ffn_gate"),
            up=weight("ffn_up"),
            down=weight("ffn_down"),
        )

    def embedding(self) -> Tensor:
        """`[49152, 576]`; the output projection is tied to it."""
        return self.tensor("token_embd.weight")

    def output_norm(self) -> Tensor:
        return self.tensor("output_norm.weight")


def rope_angles(tokens: int) -> Tensor:
    """Angle of each position and frequency, `[T, HEAD_DIM / 2]` float32."""
    exponent = torch.arange(0, HEAD_DIM, 2, dtype=torch.float32, device="cpu") / HEAD_DIM
    position = torch.arange(tokens, dtype=torch.float32, device="cpu")
    return torch.outer(position, 1.0 / ROPE_THETA**exponent)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """RoPE in the half-split form; `x` is `[H, T, HEAD_DIM]`, `angles` `[T, HEAD_DIM / 2]`."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + NORM_EPSILON) * weight


def in_chunks(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    starts = range(0, len(rows), CHUNK_TOKENS)
    return torch.cat([function(rows[start : start + CHUNK_TOKENS]) for start in starts])


def heads_first(x: Tensor) -> Tensor:
    """`[T, H * HEAD_DIM]` to `[H, T, HEAD_DIM]`."""
    return x.view(len(x), -1, HEAD_DIM).transpose(0, 1)


def project(layer: Layer, hidden: Tensor, angles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries `[9, T, 64]` and keys `[3, T, 64]` after RoPE, values `[3, T, 64]`, of `hidden` `[T, 576]`."""

    def through(weight: Tensor) -> Tensor:
        return heads_first(in_chunks(lambda rows: rms_norm(rows, layer.attention_norm) @ weight.T, hidden))

    return rotate(through(layer.query), angles), rotate(through(layer.key), angles), through(layer.value)


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each query over the keys up to its own; `[T, Q_HEADS * HEAD_DIM]`."""
    group = q.shape[0] // k.shape[0]
    k, v = k.repeat_interleave(group, dim=0), v.repeat_interleave(group, dim=0)
    outputs = []
    for start in range(0, q.shape[1], CHUNK_TOKENS):
        stop = min(start + CHUNK_TOKENS, q.shape[1])
        scores = q[:, start:stop] @ k[:, :stop].transpose(1, 2) * HEAD_DIM**-0.5  # [Hq, chunk, stop]
        later = torch.ones(stop - start, stop, dtype=torch.bool, device="cpu").triu(start + 1)
        outputs.append(scores.masked_fill(later, -torch.inf).softmax(-1) @ v[:, :stop])
    return torch.cat(outputs, dim=1).transpose(0, 1).flatten(1)


def swiglu(layer: Layer, x: Tensor) -> Tensor:
    return (torch.nn.functional.silu(x @ layer.gate.T) * (x @ layer.up.T)) @ layer.down.T


def finish(layer: Layer, hidden: Tensor, attended: Tensor) -> Tensor:
    """What a layer hands on: both residual branches added to `hidden` `[T, 576]`."""
    hidden = hidden + in_chunks(lambda rows: rows @ layer.attention_output.T, attended)
    return hidden + in_chunks(lambda rows: swiglu(layer, rms_norm(rows, layer.mlp_norm)), hidden)


def attention_inputs(
    checkpoint: Checkpoint, ids: Tensor, layers: int = LAYERS
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Queries, keys and values that attention is given in each of the first `layers` layers, in order.

    `ids` is `[T]` int64. Yields float32 `q [9, T, 64]`, `k [3, T, 64]`, `v [3, T, 64]`, after RoPE. Work
    stops with the last layer asked for.
    """
    hidden, angles = checkpoint.embedding()[ids], rope_angles(len(ids))
    for index in range(layers):
        layer = checkpoint.layer(index)
        q, k, v = project(layer, hidden, angles)
        yield q, k, v
        if index + 1 < layers:
            hidden = finish(layer, hidden, causal_attention(q, k, v))


def logits(checkpoint: Checkpoint, ids: Tensor) -> Tensor:
    """`[T, 49152]` float32 for `ids` `[T]` int64: the whole model, to compare with others of it."""
    embedding, angles = checkpoint.embedding(), rope_angles(len(ids))
    hidden = embedding[ids]
    for index in range(LAYERS):
        layer = checkpoint.layer(index)
        hidden = finish(layer, hidden, causal_attention(*project(layer, hidden, angles)))
    return rms_norm(hidden, checkpoint.output_norm()) @ embedding.T
