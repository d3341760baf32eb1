"""Rows of a table by our own kernel in Triton."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import EmbeddingCase, EmbeddingInputs, Needs, implements
from attnlab.impls import _triton
from attnlab.impls._row_space import number_space
from attnlab.impls._tuned import TunedKernel


def _built_in(case: EmbeddingCase) -> Any:
    from attnlab.kernels.triton.embedding import row_tiling

    return row_tiling(case.width)


SPACE = number_space(_built_in)


@implements("embedding", name="triton", needs=Needs(packages=("triton",)), space=SPACE)
class Triton(TunedKernel):
    """Our Triton kernel: one launch, no id is read on the host; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        super().__init__("embedding/triton", SPACE, _built_in, where="ids")

    def supports(self, case: EmbeddingCase) -> str | None:
        return _triton.too_many_programs(case.rows * (1 + case.width // 1024))

    def run(self, inputs: EmbeddingInputs, state: Any = None) -> Tensor:
        from attnlab.kernels.triton.embedding import embedding

        return embedding(inputs.ids, inputs.table, state)
