"""GELU through torch.compile."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from attnlab.bench import GeluCase, GeluInputs, Needs, implements
from attnlab.impls import _compile, _rows


@implements("gelu", name="compiled", needs=Needs(compiler=True), compiled=True)
class Compiled:
    """What `naive` does through torch.compile: one loop."""

    def prepare(self, case: GeluCase, inputs: GeluInputs) -> Callable[..., Tensor]:
        function = _compile.compile_whole(_rows.gelu)
        self.run(inputs, function)  # compiles
        return function

    def run(self, inputs: GeluInputs, function: Callable[..., Tensor]) -> Tensor:
        return function(inputs.x, inputs.approximate)
