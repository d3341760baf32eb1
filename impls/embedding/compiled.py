"""Rows of a table through torch.compile."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from attnlab.bench import EmbeddingCase, EmbeddingInputs, Needs, implements
from attnlab.impls import _compile, _rows


@implements("embedding", name="compiled", needs=Needs(compiler=True), compiled=True)
class Compiled:
    """What `naive` does through torch.compile: a generated gather."""

    def prepare(self, case: EmbeddingCase, inputs: EmbeddingInputs) -> Callable[..., Tensor]:
        function = _compile.compile_whole(_rows.embedding)
        self.run(inputs, function)  # compiles
        return function

    def run(self, inputs: EmbeddingInputs, function: Callable[..., Tensor]) -> Tensor:
        return function(inputs.ids, inputs.table)
