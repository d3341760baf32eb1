"""Eager attention with the whole score matrix in memory: the baseline that others are compared with."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import AttentionInputs, Case, implements
from attnlab.impls import _eager


@implements("attention", name="naive")
class Naive:
    """Eager PyTorch with the whole score matrix in memory: memory grows with the product of the lengths."""

    def prepare(self, case: Case, inputs: AttentionInputs) -> Tensor | None:
        return _eager.forbidden_pairs(case, inputs)

    def run(self, inputs: AttentionInputs, forbidden: Tensor | None) -> Tensor:
        return _eager.attend(inputs.q, inputs.k, inputs.v, forbidden, inputs.scale)
