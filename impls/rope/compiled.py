"""Positions told through torch.compile."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from attnlab.bench import Needs, RopeCase, RopeInputs, implements
from attnlab.impls import _compile, _rows


@implements("rope", name="compiled", needs=Needs(compiler=True), compiled=True)
class Compiled:
    """What `naive` does through torch.compile: gathering the angles and turning fused."""

    def prepare(self, case: RopeCase, inputs: RopeInputs) -> Callable[..., tuple[Tensor, Tensor]]:
        function = _compile.compile_whole(_rows.rope)
        self.run(inputs, function)  # compiles
        return function

    def run(self, inputs: RopeInputs, function: Callable[..., tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return function(inputs.q, inputs.k, inputs.cos, inputs.sin, inputs.positions, inputs.style)
