"""SwiGLU through torch.compile."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from attnlab.bench import Needs, SwigluCase, SwigluInputs, implements
from attnlab.impls import _compile, _rows


@implements("swiglu", name="compiled", needs=Needs(compiler=True), compiled=True)
class Compiled:
    """What `naive` does through torch.compile: one loop."""

    def prepare(self, case: SwigluCase, inputs: SwigluInputs) -> Callable[..., Tensor]:
        function = _compile.compile_whole(_rows.swiglu)
        self.run(inputs, function)  # compiles
        return function

    def run(self, inputs: SwigluInputs, function: Callable[..., Tensor]) -> Tensor:
        return function(inputs.x)
