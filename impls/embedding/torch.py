"""Rows of a table by PyTorch's own function."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import embedding

from attnlab.bench import EmbeddingInputs, implements


@implements("embedding", name="torch")
def by_torch(inputs: EmbeddingInputs) -> Tensor:
    """torch.nn.functional.embedding: copies whole rows."""
    return embedding(inputs.ids, inputs.table)
