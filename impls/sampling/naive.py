"""Sampling in eager PyTorch with one sort of the whole vocabulary."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import SamplingInputs, implements
from attnlab.impls.sampling._sorted import sample_sorted


@implements("sampling", name="naive")
def naive(inputs: SamplingInputs) -> Tensor:
    """Sorts each row, cuts it by rank, mass and size, and looks the uniforms up in the sums."""
    return sample_sorted(inputs.logits, inputs.uniforms, inputs.params, inputs.seen)
