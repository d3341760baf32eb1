"""What the adapters to FlashInfer share: the workspace that it plans in, and where sequences start."""

from __future__ import annotations

import torch
from torch import Tensor

WORKSPACE_BYTES = 128 << 20  # what FlashInfer recommends


def workspace(device: torch.device) -> Tensor:
    return torch.empty(WORKSPACE_BYTES, dtype=torch.uint8, device=device)


def starts(lengths: list[int], device: torch.device) -> Tensor:
    """Where each sequence starts among all rows, and where the last ends: int32 [N + 1]."""
    return torch.tensor([0, *lengths]).cumsum(0).to(dtype=torch.int32, device=device)
