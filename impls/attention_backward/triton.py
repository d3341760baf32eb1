"""Our own attention backward kernels in Triton."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import AttentionBackwardInputs, AttentionCase, Needs, implements
from attnlab.impls import _triton

TILE_S = 0.12  # the interpreter's time for a tile, in both kernels together


@implements("attention_backward", name="triton", needs=Needs(packages=("triton",)))
class Triton:
    """Our Triton kernels: scores computed again, deterministic; interpreted and untimed without a GPU."""

    def supports(self, case: AttentionCase) -> str | None:
        return _triton.limits(case, TILE_S)

    def prepare(self, case: AttentionCase, inputs: AttentionBackwardInputs) -> dict[str, Any]:
        _triton.require_device(inputs.q)
        arguments = _triton.mask_arguments(case, inputs)
        if inputs.q.is_cuda:
            self.run(inputs, arguments)  # compiles
        return arguments

    def run(self, inputs: AttentionBackwardInputs, arguments: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        from attnlab.kernels.triton.attention_backward import attention_backward

        forward = (inputs.q, inputs.k, inputs.v, inputs.out, inputs.lse)
        return attention_backward(inputs.dout, *forward, **arguments)

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)

    def configuration(self, case: AttentionCase) -> str | None:
        from attnlab.kernels.triton.attention_backward import configuration
        from attnlab.kernels.triton.device import architecture

        tilings = configuration(case.head_dim, case.v_head_dim, case.torch_dtype, architecture())
        return f"dk, dv: {_triton.describe(tilings.dkdv)}; dq: {_triton.describe(tilings.dq)}"
