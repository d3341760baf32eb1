"""Rows of a table by our own kernel in Triton."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import EmbeddingCase, EmbeddingInputs, Needs, implements
from attnlab.impls import _triton


@implements("embedding", name="triton", needs=Needs(packages=("triton",)))
class Triton:
    """Our Triton kernel: one launch, no id is read on the host; interpreted and untimed without a GPU."""

    def supports(self, case: EmbeddingCase) -> str | None:
        return _triton.too_many_programs(case.rows * (1 + case.width // 1024))

    def prepare(self, case: EmbeddingCase, inputs: EmbeddingInputs) -> None:
        _triton.require_device(inputs.ids)
        if inputs.ids.is_cuda:
            self.run(inputs)  # compiles

    def run(self, inputs: EmbeddingInputs, state: None = None) -> Tensor:
        from attnlab.kernels.triton.embedding import embedding

        return embedding(inputs.ids, inputs.table)

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)
