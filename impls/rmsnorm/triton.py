"""RMSNorm by our own kernel in Triton."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import Needs, RmsNormCase, RmsNormInputs, implements
from attnlab.impls import _triton
from attnlab.impls._row_space import norm_space
from attnlab.impls._tuned import TunedKernel


def _built_in(case: RmsNormCase) -> Any:
    from attnlab.kernels.triton.row_arguments import row_tiling

    return row_tiling(case.width)


SPACE = norm_space(_built_in)


@implements("rmsnorm", name="triton", needs=Needs(packages=("triton",)), space=SPACE)
class Triton(TunedKernel):
    """Our Triton kernel: one launch, each row read once; interpreted and untimed without a GPU."""

    def __init__(self) -> None:
        super().__init__("rmsnorm/triton", SPACE, _built_in, where="x")

    def supports(self, case: RmsNormCase) -> str | None:
        return _triton.too_many_programs(case.rows)

    def run(self, inputs: RmsNormInputs, state: Any = None) -> Tensor:
        from attnlab.kernels.triton.norms import rms_norm

        return rms_norm(inputs.x, inputs.weight, inputs.eps, state)
