"""Positions told in as few of PyTorch's own kernels as they take."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench import RopeInputs, implements
from attnlab.bench.llm import rope_math


@implements("rope", name="torch")
def by_torch(inputs: RopeInputs) -> tuple[Tensor, Tensor]:
    """Products written to their halves of the output, and added to in place; in float32, rounded once."""
    cos, sin = (table[inputs.positions][:, :, None] for table in (inputs.cos, inputs.sin))  # [B, S, 1, D/2]
    return _turn(inputs.q, cos, sin, inputs.style), _turn(inputs.k, cos, sin, inputs.style)


def _turn(x: Tensor, cos: Tensor, sin: Tensor, style: str) -> Tensor:
    """x [B, S, H, D] -> the same, dense."""
    if style == "sinusoidal":
        return rope_math.encode(x.float(), cos, sin, style).to(x.dtype)
    wide = x.float()
    out = torch.empty(x.shape, dtype=wide.dtype, device=x.device)
    (first, second), (out_first, out_second) = rope_math.split(wide, style), rope_math.split(out, style)
    torch.mul(first, cos, out=out_first).addcmul_(second, sin, value=-1.0)
    torch.mul(second, cos, out=out_second).addcmul_(first, sin)
    return out.to(x.dtype)
