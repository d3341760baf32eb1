"""What `naive` does through torch.compile: gathering, decoding and mask are fused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs, Needs, implements
from attnlab.impls import _cache, _compile, _eager


@dataclass(frozen=True)
class State:
    """The compiled function, and what of mask and bias is known."""

    attend: Callable[..., Tensor]
    matrix: _eager.Matrix


@implements("decode_attention", name="compiled", needs=Needs(compiler=True), compiled=True, serves=_cache.SERVES)
class Compiled:
    """The gathering, decoding and eager attention of `naive` through torch.compile, for every layout."""

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> State:
        state = State(_compile.compile_whole(_cache.attend_gathered), _cache.matrix(case, inputs))
        self.run(inputs, state)  # compiles
        return state

    def run(self, inputs: DecodeInputs, state: State) -> Tensor:
        return state.attend(inputs, state.matrix)
