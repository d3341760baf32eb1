"""LayerNorm by our own kernel in Triton."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import LayerNormCase, LayerNormInputs, Needs, implements
from attnlab.impls import _triton


@implements("layernorm", name="triton", needs=Needs(packages=("triton",)))
class Triton:
    """Our Triton kernel: one launch, each row read once; interpreted and untimed without a GPU."""

    def supports(self, case: LayerNormCase) -> str | None:
        return _triton.too_many_programs(case.rows)

    def prepare(self, case: LayerNormCase, inputs: LayerNormInputs) -> None:
        _triton.require_device(inputs.x)
        if inputs.x.is_cuda:
            self.run(inputs)  # compiles

    def run(self, inputs: LayerNormInputs, state: None = None) -> Tensor:
        from attnlab.kernels.triton.norms import layer_norm

        return layer_norm(inputs.x, inputs.weight, inputs.bias, inputs.eps)

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)
