"""SwiGLU by our own kernel in Triton."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import Needs, SwigluCase, SwigluInputs, implements
from attnlab.impls import _triton


@implements("swiglu", name="triton", needs=Needs(packages=("triton",)))
class Triton:
    """Our Triton kernel: one launch, in float32, rounded once; interpreted and untimed without a GPU."""

    def supports(self, case: SwigluCase) -> str | None:
        return _triton.too_many_programs(case.rows * (1 + case.width // 1024))

    def prepare(self, case: SwigluCase, inputs: SwigluInputs) -> None:
        _triton.require_device(inputs.x)
        if inputs.x.is_cuda:
            self.run(inputs)  # compiles

    def run(self, inputs: SwigluInputs, state: None = None) -> Tensor:
        from attnlab.kernels.triton.activations import swiglu

        return swiglu(inputs.x)

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)
