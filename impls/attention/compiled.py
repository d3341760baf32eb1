"""The eager formula through torch.compile, which fuses mask and softmax but keeps the score matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from attnlab.bench import AttentionInputs, Case, Needs, implements
from attnlab.impls import _compile, _eager


@dataclass(frozen=True)
class State:
    """The compiled formula, and what of mask and bias is known."""

    attend: Callable[..., Tensor]
    matrix: _eager.Matrix


@implements("attention", name="compiled", needs=Needs(compiler=True), compiled=True, serves=_eager.SERVES)
class Compiled:
    """The formula of `naive` through torch.compile: mask and softmax fused, the score matrix kept."""

    def prepare(self, case: Case, inputs: AttentionInputs) -> State:
        state = State(_compile.compile_whole(_eager.attend_prompt), _eager.matrix(case, inputs))
        self.run(inputs, state)  # compiles
        return state

    def run(self, inputs: AttentionInputs, state: State) -> Tensor:
        return state.attend(inputs, state.matrix)
