"""LayerNorm through torch.compile."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from attnlab.bench import LayerNormCase, LayerNormInputs, Needs, implements
from attnlab.impls import _compile, _rows


@implements("layernorm", name="compiled", needs=Needs(compiler=True), compiled=True)
class Compiled:
    """What `naive` does through torch.compile: mean, variance and product fused."""

    def prepare(self, case: LayerNormCase, inputs: LayerNormInputs) -> Callable[..., Tensor]:
        function = _compile.compile_whole(_rows.layernorm)
        self.run(inputs, function)  # compiles
        return function

    def run(self, inputs: LayerNormInputs, function: Callable[..., Tensor]) -> Tensor:
        return function(inputs.x, inputs.weight, inputs.bias, inputs.eps)
