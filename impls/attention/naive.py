"""Eager attention with the whole score matrix in memory: the baseline that others are compared with."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import AttentionInputs, Case, implements
from attnlab.impls import _eager


@implements("attention", name="naive", serves=_eager.SERVES)
class Naive:
    """Eager PyTorch with the whole score matrix in memory: memory grows with the product of the lengths."""

    def prepare(self, case: Case, inputs: AttentionInputs) -> _eager.Matrix:
        return _eager.matrix(case, inputs)

    def run(self, inputs: AttentionInputs, matrix: _eager.Matrix) -> Tensor:
        return _eager.attend_prompt(inputs, matrix)
