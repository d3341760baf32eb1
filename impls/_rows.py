"""The parts of a decoder in eager PyTorch: in float32, rounded once, for `naive` and for what compiles it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from attnlab.bench.llm import rope_math


def rmsnorm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x [M, N] and weight [N] -> [M, N] in x's dtype."""
    wide = x.float()
    factor = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (wide * factor * weight.float()).to(x.dtype)


def layernorm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """x [M, N], weight and bias [N] -> [M, N] in x's dtype."""
    wide = x.float()
    centred = wide - wide.mean(-1, keepdim=True)
    factor = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)
    return (centred * factor * weight.float() + bias.float()).to(x.dtype)


def rope(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, positions: Tensor, style: str) -> tuple[Tensor, Tensor]:
    """q [B, S, Hq, D] and k [B, S, Hkv, D], tables [P, D/2], positions [B, S] -> both, in their dtype."""
    cos, sin = cos[positions][:, :, None], sin[positions][:, :, None]  # [B, S, 1, D/2]
    turned_q = rope_math.encode(q.float(), cos, sin, style).to(q.dtype)
    return turned_q, rope_math.encode(k.float(), cos, sin, style).to(k.dtype)


def swiglu(x: Tensor) -> Tensor:
    """x [M, 2N], gate columns first -> [M, N] in x's dtype."""
    gate, up = x.float().chunk(2, dim=-1)
    return (functional.silu(gate) * up).to(x.dtype)


def gelu(x: Tensor, approximate: str) -> Tensor:
    """x [M, N] -> [M, N] in x's dtype; `approximate` is `none` or `tanh`."""
    return functional.gelu(x.float(), approximate=approximate).to(x.dtype)


def embedding(ids: Tensor, table: Tensor) -> Tensor:
    """ids [M] of the rows of table [V, N] -> [M, N]."""
    return table[ids]
