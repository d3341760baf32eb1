"""Mixture of experts as gpt-oss has it: each token goes through some of many small gated MLPs, chosen by a router.

Source: gpt-oss (OpenAI, 2025, arXiv:2508.10925); transformers 5.24, `modeling_gpt_oss.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SLOPE, LIMIT = 1.702, 7.0
"""Of the gate: x · sigmoid(1.702 · x), x at most 7; what it multiplies lies within ± 7."""


@dataclass(frozen=True, eq=False)
class ExpertWeights:
    """The weights of one layer's experts; E experts, H hidden, I intermediate."""

    router: Tensor  # [E, H]
    router_bias: Tensor  # [E]
    gate: Tensor  # [E, I, H]
    up: Tensor  # [E, I, H]
    down: Tensor  # [E, H, I]
    gate_bias: Tensor  # [E, I]
    up_bias: Tensor  # [E, I]
    down_bias: Tensor  # [E, H]

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, f.name) for f in dataclasses.fields(self))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> ExpertWeights:
        return ExpertWeights(*(x.to(device, dtype) for x in self.tensors()))

    def of(self, x: Tensor, chosen: int, rounded: Callable[[Tensor], Tensor]) -> Tensor:
        """Of normed rows [..., H]: the sum over so many experts a row of what each gives, by the router's shares."""
        rows = x.reshape(-1, x.shape[-1])
        best, index = (rows @ self.router.T + self.router_bias).topk(chosen)
        shares = best.softmax(-1)
        out = torch.zeros_like(rows)
        for expert in index.unique().tolist():
            row, place = (index == expert).nonzero(as_tuple=True)
            gate = rows[row] @ self.gate[expert].T + self.gate_bias[expert]
            up = rows[row] @ self.up[expert].T + self.up_bias[expert]
            made = rounded(clamped_gate(gate, up)) @ self.down[expert].T + self.down_bias[expert]
            out.index_add_(0, row, made * shares[row, place, None])
        return out.view_as(x)


def clamped_gate(gate: Tensor, up: Tensor) -> Tensor:
    """(up + 1) · gate · sigmoid(1.702 · gate), both clamped first."""
    gate, up = gate.clamp(max=LIMIT), up.clamp(-LIMIT, LIMIT)
    return (up + 1) * gate * torch.sigmoid(SLOPE * gate)


def expert_shapes(experts: int, hidden: int, intermediate: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor, by its field."""
    return {
        "router": (experts, hidden),
        "router_bias": (experts,),
        "gate": (experts, intermediate, hidden),
        "up": (experts, intermediate, hidden),
        "down": (experts, hidden, intermediate),
        "gate_bias": (experts, intermediate),
        "up_bias": (experts, intermediate),
        "down_bias": (experts, hidden),
    }
