"""What the adapters to FlashInfer share: the workspace that it plans in, and where sequences start."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.bench import Mask

WORKSPACE_BYTES = 128 << 20  # what FlashInfer recommends


def workspace(device: torch.device) -> Tensor:
    return torch.empty(WORKSPACE_BYTES, dtype=torch.uint8, device=device)


def starts(lengths: list[int], device: torch.device) -> Tensor:
    """Where each sequence starts among all rows, and where the last ends: int32 [N + 1]."""
    return torch.tensor([0, *lengths]).cumsum(0).to(dtype=torch.int32, device=device)


def planned(
    mask: Mask, softcap: float | None, sequences: list[tuple[int, int]], device: torch.device
) -> dict[str, Any]:
    """What plans take beside shapes: the window, the cap, and masks of no other name as a boolean for every pair."""
    keywords: dict[str, Any] = {"causal": mask.is_causal}
    keywords["window_left"] = -1 if mask.window is None else mask.window - 1
    if softcap is not None:
        keywords["logits_soft_cap"] = softcap
    if not mask.is_band:
        seen = [mask.permitted(torch.arange(q, device=device), q, k).flatten() for q, k in sequences]
        keywords |= {"causal": False, "custom_mask": torch.cat(seen)}
    return keywords
