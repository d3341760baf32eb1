"""Our own attention forward kernel in Triton."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, Needs, implements
from attnlab.impls import _triton

TILE_S = 0.04  # the interpreter's time for a tile


@implements("attention", name="triton", needs=Needs(packages=("triton",)))
class Triton:
    """Our Triton kernel: online softmax, masked tiles apart; interpreted and untimed without a GPU."""

    def supports(self, case: AttentionCase) -> str | None:
        return _triton.limits(case, TILE_S)

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> dict[str, Any]:
        _triton.require_device(inputs.q)
        arguments = _triton.mask_arguments(case, inputs)
        if inputs.q.is_cuda:
            self.run(inputs, arguments)  # compiles
        return arguments

    def run(self, inputs: AttentionInputs, arguments: dict[str, Any]) -> Tensor:
        from attnlab.kernels.triton.attention_forward import attention_forward

        return attention_forward(inputs.q, inputs.k, inputs.v, **arguments)[0]

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)

    def configuration(self, case: AttentionCase) -> str | None:
        from attnlab.kernels.triton.attention_forward import configuration
        from attnlab.kernels.triton.device import architecture

        tiling = configuration(case.head_dim, case.v_head_dim, case.torch_dtype, architecture())
        return _triton.describe(tiling)
