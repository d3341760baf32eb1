"""What columns of activations are divided by, and those of the weight multiplied by: which of several loses least."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

LEAST = 1e-4  # of a scale: a column whose activations are all 0 is not divided by 0


def powers_of(magnitudes: Tensor, exponents: Iterable[float]) -> list[Tensor]:
    """Powers of magnitudes [K], each so that its least and its largest lie on both sides of 1 alike."""
    found = []
    for exponent in exponents:
        scale = magnitudes.clamp_min(LEAST * float(magnitudes.amax()) + torch.finfo(torch.float32).tiny).pow(exponent)
        found.append(scale / (scale.amax() * scale.amin()).sqrt())
    return found


def least_lossy(candidates: Iterable[Tensor], loss_of: Callable[[Tensor], float]) -> Tensor:
    """The scale [K] of the least loss, of equal ones the first."""
    return min(((loss_of(scale), number, scale) for number, scale in enumerate(candidates)), key=lambda x: x[:2])[2]
