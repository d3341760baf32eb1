"""Positions told by our own kernel in Triton."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import Needs, RopeCase, RopeInputs, implements
from attnlab.impls import _triton


@implements("rope", name="triton", needs=Needs(packages=("triton",)))
class Triton:
    """Our Triton kernel: one launch for queries and keys; every style; interpreted and untimed without a GPU."""

    def supports(self, case: RopeCase) -> str | None:
        return _triton.too_many_programs(2 * case.batch * case.q_len * (1 + case.q_heads * case.head_dim // 2048))

    def prepare(self, case: RopeCase, inputs: RopeInputs) -> None:
        _triton.require_device(inputs.q)
        if inputs.q.is_cuda:
            self.run(inputs)  # compiles

    def run(self, inputs: RopeInputs, state: None = None) -> tuple[Tensor, Tensor]:
        from attnlab.kernels.triton.rope import rope

        return rope(inputs.q, inputs.k, inputs.cos, inputs.sin, inputs.positions, inputs.style)

    def untimed(self, device_kind: str) -> str | None:
        return _triton.untimed(device_kind)
