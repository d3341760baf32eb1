"""A decoder of the Llama, Qwen and Gemma families: embedding, layers of attention and gated MLP, and a head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench import (
    EmbeddingCase,
    EmbeddingInputs,
    GeluCase,
    GeluInputs,
    LinearCase,
    LinearInputs,
    ModelWeights,
    RmsNormCase,
    RmsNormInputs,
    RopeCase,
    RopeInputs,
    SwigluCase,
    SwigluInputs,
)
from attnlab.bench.llm import LayerWeights, embedding_scale, rotary_tables, rows_of, soft_capped
from attnlab.impls.generate._engine.parts import Kernel, Parts

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""attend(layer, q [B, S, Hq, D], k and v [B, S, Hkv, D]) -> [B, S, Hq, D]: stores the new tokens, then attends."""

FEW_ROWS = 16  # up to here a matrix product reads weights, beyond it computes


@dataclass(frozen=True, eq=False)
class Layer:
    """The weights of one layer, with the projections of one input fused, so that each is one product."""

    attention_norm: Tensor  # [H]
    qkv: Tensor  # [(Hq + 2 Hkv) D, H]
    qkv_bias: Tensor | None
    output: Tensor  # [H, Hq D]
    mlp_norm: Tensor  # [H]
    gate_up: Tensor  # [2 I, H]
    down: Tensor  # [H, I]
    query_norm: Tensor | None  # [D]
    key_norm: Tensor | None  # [D]
    attention_branch_norm: Tensor | None  # [H]
    mlp_branch_norm: Tensor | None  # [H]

    @classmethod
    def fuse(cls, w: LayerWeights) -> Layer:
        biases = (w.query_bias, w.key_bias, w.value_bias)
        known = [bias for bias in biases if bias is not None]
        return cls(
            attention_norm=w.attention_norm,
            qkv=rows_of(w.query, w.key, w.value),
            qkv_bias=torch.cat(known) if known else None,
            output=w.output,
            mlp_norm=w.mlp_norm,
            gate_up=rows_of(w.gate, w.up),
            down=w.down,
            query_norm=w.query_norm,
            key_norm=w.key_norm,
            attention_branch_norm=w.attention_branch_norm,
            mlp_branch_norm=w.mlp_branch_norm,
        )


@dataclass(frozen=True, eq=False)
class Kernels:
    """Every part, set up for passes of B sequences with S tokens each; a linear for each weight, by layer."""

    embed: Kernel
    norm: Kernel
    query_norm: Kernel | None  # over heads, where the model has it
    key_norm: Kernel | None
    rope: Kernel
    activate: Callable[[Tensor], Tensor]  # gate and up [M, 2 I] -> [M, I]
    qkv: tuple[Kernel, ...]
    output: tuple[Kernel, ...]
    gate_up: tuple[Kernel, ...]
    down: tuple[Kernel, ...]


class Decoder:
    """A model whose parts are chosen by name. Weights are fused where that makes one product of several: with a copy,
    unless `ModelWeights.joined` has them side by side already.

    positions: how many there may be; the tables of RoPE are made for so many.
    """

    def __init__(self, weights: ModelWeights, parts: Parts, positions: int) -> None:
        self.weights, self.parts = weights, parts
        self.config = weights.config
        self.layers = [Layer.fuse(layer) for layer in weights.layers]
        self.positions = positions
        self.tables = [self._tables(local) for local in (False, True)]
        self._kernels: dict[tuple[int, int], Kernels] = {}
        self._heads: dict[int, tuple[Kernel, Kernel]] = {}

    @property
    def device(self) -> torch.device:
        return self.weights.device

    @property
    def dtype(self) -> torch.dtype:
        return self.weights.dtype

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @torch.inference_mode()
    def hidden_states(self, ids: Tensor, positions: Tensor, attend: Attend, last: bool = False) -> Tensor:
        """What the last layer gives, [B, S, H], for ids and positions [B, S] int64 on the model's device.

        last: only of the last token, [B, 1, H]; after the last attention no other has a use.
        """
        kernels = self.kernels(*ids.shape)
        batch, length = ids.shape
        config, eps = self.config, self.config.norm_eps
        sizes = [config.q_heads, config.kv_heads, config.kv_heads]
        x = kernels.embed(EmbeddingInputs(ids.reshape(-1), self.weights.embedding))  # [M, H]
        if config.scaled_embedding:
            x = x * embedding_scale(config, self.dtype)
        for index, layer in enumerate(self.layers):
            normed = kernels.norm(RmsNormInputs(x, layer.attention_norm, eps))
            qkv = kernels.qkv[index](LinearInputs(normed, layer.qkv, layer.qkv_bias))
            q, k, v = qkv.view(batch, length, -1, config.head_dim).split(sizes, 2)
            q = _norm_heads(kernels.query_norm, q, layer.query_norm, eps)
            k = _norm_heads(kernels.key_norm, k, layer.key_norm, eps)
            cos, sin = self.tables[config.is_local(index)]
            q, k = kernels.rope(RopeInputs(q, k, cos, sin, positions))
            attended = attend(index, q, k, v)
            if last and index + 1 == len(self.layers):
                attended, x, length = attended[:, -1:], x.view(batch, length, -1)[:, -1], 1
                kernels = self.kernels(batch, 1)
            attended = attended.reshape(batch * length, -1)
            branch = kernels.output[index](LinearInputs(attended, layer.output))
            x = x + _norm_rows(kernels.norm, branch, layer.attention_branch_norm, eps)
            normed = kernels.norm(RmsNormInputs(x, layer.mlp_norm, eps))
            gated = kernels.activate(kernels.gate_up[index](LinearInputs(normed, layer.gate_up)))
            branch = kernels.down[index](LinearInputs(gated, layer.down))
            x = x + _norm_rows(kernels.norm, branch, layer.mlp_branch_norm, eps)
        out: Tensor = x.view(batch, length, -1)
        return out

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """The head over hidden [B, S, H] -> [B, S, V] in the model's dtype."""
        rows = hidden.reshape(-1, hidden.shape[-1])
        norm, head = self._head(len(rows))
        normed = norm(RmsNormInputs(rows, self.weights.output_norm, self.config.norm_eps))
        out: Tensor = head(LinearInputs(normed, self.weights.head)).view(*hidden.shape[:2], -1)
        cap = self.config.logit_softcap
        return out if cap is None else soft_capped(out.float(), cap).to(self.dtype)

    def kernels(self, batch: int, length: int) -> Kernels:
        """The parts for passes of that shape, set up at the first of them."""
        if (batch, length) not in self._kernels:
            self._kernels[batch, length] = self._set_up(batch, length)
        return self._kernels[batch, length]

    def _head(self, rows: int) -> tuple[Kernel, Kernel]:
        if rows not in self._heads:
            self._heads[rows] = (self._norm(rows), self._linear(rows, self.weights.head))
        return self._heads[rows]

    def _set_up(self, batch: int, length: int) -> Kernels:
        rows = batch * length
        return Kernels(
            embed=self._embedding(rows),
            norm=self._norm(rows),
            query_norm=self._head_norm(rows * self.config.q_heads),
            key_norm=self._head_norm(rows * self.config.kv_heads),
            rope=self._rope(batch, length),
            activate=self._activation(rows),
            qkv=tuple(self._linear(rows, layer.qkv, layer.qkv_bias) for layer in self.layers),
            output=tuple(self._linear(rows, layer.output) for layer in self.layers),
            gate_up=tuple(self._linear(rows, layer.gate_up) for layer in self.layers),
            down=tuple(self._linear(rows, layer.down) for layer in self.layers),
        )

    def _embedding(self, rows: int) -> Kernel:
        width, vocabulary = self.config.hidden_size, self.config.vocab_size
        case = EmbeddingCase(rows=rows, width=width, vocabulary=vocabulary, dtype=self.dtype_name)
        ids = torch.zeros(rows, dtype=torch.int64, device=self.device)
        return self.parts.kernel("embedding", case, EmbeddingInputs(ids, self.weights.embedding))

    def _rope(self, batch: int, length: int) -> Kernel:
        config = self.config
        case = RopeCase(
            batch=batch,
            q_heads=config.q_heads,
            kv_heads=config.kv_heads,
            q_len=length,
            head_dim=config.head_dim,
            positions=self.positions,
            dtype=self.dtype_name,
        )
        q, k = (self._zeros(batch, length, heads, config.head_dim) for heads in (config.q_heads, config.kv_heads))
        positions = torch.zeros(batch, length, dtype=torch.int64, device=self.device)
        return self.parts.kernel("rope", case, RopeInputs(q, k, *self.tables[0], positions))

    def _tables(self, local: bool) -> tuple[Tensor, Tensor]:
        """Cosines and sines of every position, float32 [P, D/2], worked out on the CPU."""
        cos, sin = rotary_tables(self.config, torch.arange(self.positions), local)
        return cos.float().to(self.device), sin.float().to(self.device)

    def _norm(self, rows: int) -> Kernel:
        return self._norm_of(rows, self.weights.output_norm)

    def _head_norm(self, rows: int) -> Kernel | None:
        weight = self.layers[0].query_norm
        return None if weight is None else self._norm_of(rows, weight)

    def _norm_of(self, rows: int, weight: Tensor) -> Kernel:
        width = len(weight)
        case = RmsNormCase(rows=rows, width=width, dtype=self.dtype_name)
        inputs = RmsNormInputs(self._zeros(rows, width), weight, self.config.norm_eps)
        return self.parts.kernel("norm", case, inputs)

    def _activation(self, rows: int) -> Callable[[Tensor], Tensor]:
        width, dtype = self.config.intermediate_size, self.dtype_name
        if self.config.activation == "silu":
            inputs = SwigluInputs(self._zeros(rows, 2 * width))
            swiglu = self.parts.kernel("activation", SwigluCase(rows=rows, width=width, dtype=dtype), inputs)
            return lambda gate_up: swiglu(SwigluInputs(gate_up))
        case = GeluCase(rows=rows, width=width, dtype=dtype, approximate="tanh")
        gelu = self.parts.kernel("gelu", case, GeluInputs(self._zeros(rows, width), "tanh"))

        def geglu(gate_up: Tensor) -> Tensor:
            gate, up = gate_up.chunk(2, dim=-1)
            out: Tensor = gelu(GeluInputs(gate.contiguous(), "tanh"))
            return out * up

        return geglu

    def _linear(self, rows: int, weight: Tensor, bias: Tensor | None = None) -> Kernel:
        case = LinearCase(m=rows, n=weight.shape[0], k=weight.shape[1], dtype=self.dtype_name, bias=bias is not None)
        part = "linear" if rows <= FEW_ROWS else "prompt_linear"
        return self.parts.kernel(part, case, LinearInputs(self._zeros(rows, weight.shape[1]), weight, bias))

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.dtype, device=self.device)


def _norm_rows(norm: Kernel, x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """Rows x [M, N], normed where there is a weight [N]."""
    if weight is None:
        return x
    out: Tensor = norm(RmsNormInputs(x, weight, eps))
    return out


def _norm_heads(norm: Kernel | None, x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """Heads x [B, S, H, D], each normed where there is a weight [D]."""
    if norm is None or weight is None:
        return x
    return _norm_rows(norm, x.reshape(-1, x.shape[-1]), weight, eps).view(x.shape)
