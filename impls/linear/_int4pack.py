"""What PyTorch's two kernels for int4 weights share: scales and middles side by side."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.bench.llm import QuantizedWeight
from attnlab.impls.linear._codes import middles, scales


def scales_and_middles(weight: QuantizedWeight, dtype: torch.dtype) -> Tensor:
    """[K / group, N, 2] in the dtype: w = (code − 8) · scale + middle."""
    both = torch.stack([scales(weight), middles(weight)], -1)
    return both.transpose(0, 1).contiguous().to(dtype)
