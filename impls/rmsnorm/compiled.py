"""RMSNorm through torch.compile."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from attnlab.bench import Needs, RmsNormCase, RmsNormInputs, implements
from attnlab.impls import _compile, _rows


@implements("rmsnorm", name="compiled", needs=Needs(compiler=True), compiled=True)
class Compiled:
    """What `naive` does through torch.compile: squares, mean and product fused."""

    def prepare(self, case: RmsNormCase, inputs: RmsNormInputs) -> Callable[..., Tensor]:
        function = _compile.compile_whole(_rows.rmsnorm)
        self.run(inputs, function)  # compiles
        return function

    def run(self, inputs: RmsNormInputs, function: Callable[..., Tensor]) -> Tensor:
        return function(inputs.x, inputs.weight, inputs.eps)
