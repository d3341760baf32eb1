"""The weights of a layer as the decoder multiplies by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm import ExpertWeights, LayerWeights, QuantizedWeight, joined, rows_of

Weight = Tensor | QuantizedWeight
"""[N, K], in the dtype or in codes."""


@dataclass(frozen=True, eq=False)
class Projection:
    """Weights [N, K] of one input, whose outputs stand side by side: one where they could be fused, so that all is one
    product. biases: [N] or None, for each."""

    weights: tuple[Weight, ...]
    biases: tuple[Tensor | None, ...]

    @classmethod
    def fuse(cls, weights: Sequence[Weight], biases: Sequence[Tensor | None] | None = None) -> Projection:
        """Of weights of one input and their biases, which all have one or none has."""
        each = tuple(biases or [None] * len(weights))
        known = [bias for bias in each if bias is not None]
        dense = [weight for weight in weights if isinstance(weight, Tensor)]
        codes = [weight for weight in weights if isinstance(weight, QuantizedWeight)]
        fused: Weight | None = None if dense and codes else rows_of(*dense) if dense else joined(codes)
        if fused is None:
            return cls(tuple(weights), each)
        return cls((fused,), (torch.cat(known) if known else None,))


@dataclass(frozen=True, eq=False)
class FusedLayer:
    """The weights of one layer, with the projections of one input fused where they are stored alike."""

    attention_norm: Tensor  # [H]
    qkv: Projection  # [(Hq + 2 Hkv) D, H]
    output: Projection  # [H, Hq D]
    mlp_norm: Tensor  # [H]
    gate_up: Projection  # [2 I, H]
    down: Projection  # [H, I]
    query_norm: Tensor | None  # [D]
    key_norm: Tensor | None  # [D]
    attention_branch_norm: Tensor | None  # [H]
    mlp_branch_norm: Tensor | None  # [H]
    experts: ExpertWeights | None  # in the place of gate_up and down

    @classmethod
    def fuse(cls, w: LayerWeights) -> FusedLayer:
        def stored(*names: str) -> list[Weight]:
            return [w.quantized.get(name, getattr(w, name)) for name in names]

        return cls(
            attention_norm=w.attention_norm,
            qkv=Projection.fuse(stored("query", "key", "value"), (w.query_bias, w.key_bias, w.value_bias)),
            output=Projection.fuse(stored("output"), (w.output_bias,)),
            mlp_norm=w.mlp_norm,
            gate_up=Projection.fuse(stored("gate", "up")),
            down=Projection.fuse(stored("down")),
            query_norm=w.query_norm,
            key_norm=w.key_norm,
            attention_branch_norm=w.attention_branch_norm,
            mlp_branch_norm=w.mlp_branch_norm,
            experts=w.experts,
        )
