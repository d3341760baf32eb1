"""Rows of a table by index: the baseline."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import EmbeddingInputs, implements


@implements("embedding", name="naive")
def naive(inputs: EmbeddingInputs) -> Tensor:
    """table[ids]."""
    return inputs.table[inputs.ids]
