"""Mixture of experts in eager torch: rows are sorted by expert, so that each expert is one product of its rows."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.llm import ExpertWeights, clamped_gate


def through_experts(weights: ExpertWeights | None, chosen: int, x: Tensor) -> Tensor:
    """Normed rows x [M, H] through so many experts each -> [M, H], weighed by the router's shares, in x's dtype."""
    assert weights is not None
    best, index = torch.addmm(weights.router_bias, x, weights.router.T).topk(chosen)  # [M, C]
    shares = best.float().softmax(-1).flatten()
    order = index.flatten().argsort(stable=True)  # of pairs of row and expert
    counts = index.flatten().bincount(minlength=len(weights.router)).tolist()
    made = x.new_empty(len(order), x.shape[1], dtype=torch.float32)
    for expert, pairs in enumerate(order.split(counts)):
        if len(pairs):
            rows = x[pairs // chosen]
            gate = torch.addmm(weights.gate_bias[expert], rows, weights.gate[expert].T)
            up = torch.addmm(weights.up_bias[expert], rows, weights.up[expert].T)
            given = torch.addmm(weights.down_bias[expert], clamped_gate(gate, up), weights.down[expert].T)
            made[pairs] = given.float() * shares[pairs, None]
    return made.view(len(x), chosen, -1).sum(1).to(x.dtype)
