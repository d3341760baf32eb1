"""What a layer's output loses when its weight is replaced, from the second moments of its activations."""

from __future__ import annotations

import torch
from torch import Tensor


def second_moments(activations: Tensor) -> Tensor:
    """xᵀx over the tokens, a mean, [K, K] in float32, of activations [T, K]."""
    return activations.mT @ activations / len(activations)


def losses_of_rows(change: Tensor, moments: Tensor) -> Tensor:
    """For each row of a change of the weight [N, K] the mean square of what its output changes by, [N]."""
    return ((change @ moments) * change).sum(-1)


def output_error(outputs: Tensor, expected: Tensor) -> float:
    """Root of the sum of squares of what outputs differ by, over that of the outputs expected; 0 where both are 0."""
    lost, all_of_it = (outputs.double() - expected.double()).norm(), expected.double().norm()
    if not float(all_of_it):
        return 0.0 if not float(lost) else torch.inf
    return float(lost / all_of_it)
