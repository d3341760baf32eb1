"""SwiGLU by our own kernel in Triton."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import Needs, SwigluCase, SwigluInputs, implements
from attnlab.impls import _triton
from attnlab.impls._row_space import number_space
from attnlab.impls._tuned import TunedKernel


def _built_in(case: SwigluCase) -> Any:
    from attnlab.kernels.triton.activations import BUILT_IN

    return BUILT_IN


SPACE = number_space(_built_in)


@implements("swiglu", name="triton", needs=Needs(packages=("triton",)), space=SPACE)
class Triton(TunedKernel):
    """Our Triton kernel: one launch, in float32, rounded once; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        super().__init__("swiglu/triton", SPACE, _built_in, where="x")

    def supports(self, case: SwigluCase) -> str | None:
        return _triton.too_many_programs(case.rows * (1 + case.width // 1024))

    def run(self, inputs: SwigluInputs, state: Any = None) -> Tensor:
        from attnlab.kernels.triton.activations import swiglu

        return swiglu(inputs.x, state)
