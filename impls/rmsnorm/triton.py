"""RMSNorm by our own kernel in Triton."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import Needs, RmsNormCase, RmsNormInputs, implements
from attnlab.impls import _triton


@implements("rmsnorm", name="triton", needs=Needs(packages=("triton",)))
class Triton:
    """Our Triton kernel: one launch, each row read once; interpreted and untimed without a GPU."""

    def supports(self, case: RmsNormCase) -> str | None:
        return _triton.too_many_programs(case.rows)

    def prepare(self, case: RmsNormCase, inputs: RmsNormInputs) -> None:
        _triton.require_device(inputs.x)
        if inputs.x.is_cuda:
            self.run(inputs)  # compiles

    def run(self, inputs: RmsNormInputs, state: None = None) -> Tensor:
        from attnlab.kernels.triton.norms import rms_norm

        return rms_norm(inputs.x, inputs.weight, inputs.eps)

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)
