"""The parts of a decoder, set up for the shapes of its passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

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
    linear_inputs,
)
from attnlab.bench.llm import SAME, QuantizedWeight
from attnlab.impls.generate._engine.experts import through_experts
from attnlab.impls.generate._engine.layer import FusedLayer, Projection, Weight
from attnlab.impls.generate._engine.parts import Kernel, Parts

FEW_ROWS = 16  # up to here a matrix product reads weights, beyond it computes
Product = Callable[[Tensor], Tensor]
"""A linear layer that is set up: x [M, K] -> [M, N]."""


@dataclass(frozen=True, eq=False)
class Kernels:
    """Every part, set up for passes of B sequences with S tokens each; a linear for each weight, by layer."""

    embed: Kernel
    norm: Kernel
    query_norm: Kernel | None  # over heads, where the model has it
    key_norm: Kernel | None
    rope: Kernel
    qkv: tuple[Product, ...]
    output: tuple[Product, ...]
    mlp: tuple[Product, ...]  # [M, H] -> [M, H]


def chained(first: Product, then: Product, last: Product) -> Product:
    return lambda x: last(then(first(x)))


class KernelSetup:
    """Sets parts up for passes over these weights, once for each shape.

    layers: the weights again, with some fused. rope_table: cosines and sines, float32 [P, D/2].
    """

    def __init__(
        self, weights: ModelWeights, layers: Sequence[FusedLayer], parts: Parts, rope_table: tuple[Tensor, Tensor]
    ) -> None:
        self.weights, self.config = weights, weights.config
        self.layers, self.parts, self.rope_table = layers, parts, rope_table
        self._kernels: dict[tuple[int, int], Kernels] = {}
        self._head = weights.head if weights.quantized_head is None else weights.quantized_head
        self._heads: dict[int, tuple[Kernel, Product]] = {}

    def of_shape(self, batch: int, length: int) -> Kernels:
        """The parts for passes of that shape, set up at the first of them."""
        if (batch, length) not in self._kernels:
            self._kernels[batch, length] = self._set_up(batch, length)
        return self._kernels[batch, length]

    def of_head(self, rows: int) -> tuple[Kernel, Product]:
        """The norm and the product behind the last layer, for so many rows."""
        if rows not in self._heads:
            self._heads[rows] = (self._norm(rows), self._linear(rows, self._head))
        return self._heads[rows]

    def _set_up(self, batch: int, length: int) -> Kernels:
        rows = batch * length
        return Kernels(
            embed=self._embedding(rows),
            norm=self._norm(rows),
            query_norm=self._head_norm(rows * self.config.q_heads),
            key_norm=self._head_norm(rows * self.config.kv_heads),
            rope=self._rope(batch, length),
            qkv=tuple(self._projection(rows, layer.qkv) for layer in self.layers),
            output=tuple(self._projection(rows, layer.output) for layer in self.layers),
            mlp=self._mlps(rows),
        )

    def _embedding(self, rows: int) -> Kernel:
        width, vocabulary = self.config.hidden_size, self.config.vocab_size
        case = EmbeddingCase(rows=rows, width=width, vocabulary=vocabulary, dtype=self._dtype_name)
        ids = torch.zeros(rows, dtype=torch.int64, device=self.weights.device)
        return self.parts.kernel("embedding", case, EmbeddingInputs(ids, self.weights.embedding))

    def _rope(self, batch: int, length: int) -> Kernel:
        config = self.config
        case = RopeCase(
            batch=batch,
            q_heads=config.q_heads,
            kv_heads=config.kv_heads,
            q_len=length,
            head_dim=config.head_dim,
            positions=len(self.rope_table[0]),
            dtype=self._dtype_name,
        )
        q, k = (self._zeros(batch, length, heads, config.head_dim) for heads in (config.q_heads, config.kv_heads))
        positions = torch.zeros(batch, length, dtype=torch.int64, device=self.weights.device)
        return self.parts.kernel("rope", case, RopeInputs(q, k, *self.rope_table, positions))

    def _norm(self, rows: int) -> Kernel:
        return self._norm_of(rows, self.weights.output_norm)

    def _head_norm(self, rows: int) -> Kernel | None:
        weight = self.layers[0].query_norm
        return None if weight is None else self._norm_of(rows, weight)

    def _norm_of(self, rows: int, weight: Tensor) -> Kernel:
        width = len(weight)
        case = RmsNormCase(rows=rows, width=width, dtype=self._dtype_name)
        inputs = RmsNormInputs(self._zeros(rows, width), weight, self.config.norm_eps)
        return self.parts.kernel("norm", case, inputs)

    def _mlps(self, rows: int) -> tuple[Product, ...]:
        """A gated MLP a layer, or its experts."""
        chosen = self.config.experts_per_token
        if chosen:
            return tuple(partial(through_experts, layer.experts, chosen) for layer in self.layers)
        activate = self._activation(rows)
        return tuple(
            chained(self._projection(rows, layer.gate_up), activate, self._projection(rows, layer.down))
            for layer in self.layers
        )

    def _activation(self, rows: int) -> Callable[[Tensor], Tensor]:
        width, dtype = self.config.intermediate_size, self._dtype_name
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

    def _projection(self, rows: int, projection: Projection) -> Product:
        weights, biases = projection.weights, projection.biases
        products = [self._linear(rows, weight, bias) for weight, bias in zip(weights, biases, strict=True)]
        return products[0] if len(products) == 1 else lambda x: torch.cat([product(x) for product in products], 1)

    def _linear(self, rows: int, weight: Weight, bias: Tensor | None = None) -> Product:
        n, k = weight.shape
        format = weight.format_name if isinstance(weight, QuantizedWeight) else SAME
        case = LinearCase(m=rows, n=n, k=k, dtype=self._dtype_name, bias=bias is not None, format=format)
        part = self.parts.linear_for(case, "linear" if rows <= FEW_ROWS else "prompt_linear")
        inputs = linear_inputs(self._zeros(rows, k), weight, bias)
        kernel, dense, codes = self.parts.kernel(part, case, inputs), inputs.weight, inputs.quantized
        return lambda x: kernel(LinearInputs(x, dense, bias, codes))

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.weights.dtype, device=self.weights.device)

    @property
    def _dtype_name(self) -> str:
        return str(self.weights.dtype).removeprefix("torch.")
