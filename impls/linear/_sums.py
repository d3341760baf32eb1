"""Sums in float32 by PyTorch's own products: on a GPU they have to be asked for."""

from __future__ import annotations

import torch


def ask_for_float32(device: torch.device) -> None:
    """From here on cuBLAS adds parts of a sum in float32, in this process: by default it may round each."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
