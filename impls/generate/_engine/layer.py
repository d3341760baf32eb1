"""The weights of a layer as the decoder multiplies by them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.bench.llm import LayerWeights, rows_of


@dataclass(frozen=True, eq=False)
class FusedLayer:
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
    def fuse(cls, w: LayerWeights) -> FusedLayer:
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
