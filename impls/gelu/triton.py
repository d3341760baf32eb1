"""GELU by our own kernel in Triton."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import GeluCase, GeluInputs, Needs, implements
from attnlab.impls import _triton
from attnlab.impls._row_space import matrix_shape, number_space
from attnlab.impls._tuned import TunedKernel


def _built_in(case: GeluCase) -> Any:
    from attnlab.kernels.triton.activations import BUILT_IN

    return BUILT_IN


def _shape(case: GeluCase) -> tuple[dict[str, int | str], dict[str, int]]:
    exact, sizes = matrix_shape(case)
    return exact | {"approximate": case.approximate}, sizes


SPACE = number_space(_built_in, _shape)


@implements("gelu", name="triton", needs=Needs(packages=("triton",)), space=SPACE)
class Triton(TunedKernel):
    """Our Triton kernel: one launch, in float32, rounded once; both forms; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        super().__init__("gelu/triton", SPACE, _built_in, where="x")

    def supports(self, case: GeluCase) -> str | None:
        return _triton.too_many_programs(case.rows * (1 + case.width // 1024))

    def run(self, inputs: GeluInputs, state: Any = None) -> Tensor:
        from attnlab.kernels.triton.activations import gelu

        return gelu(inputs.x, inputs.approximate, state)
