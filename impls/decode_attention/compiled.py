"""What `naive` does through torch.compile: gathering, decoding and mask are fused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs, KVCache, Needs, implements
from attnlab.impls import _cache, _compile, _eager


@dataclass(frozen=True)
class State:
    """The compiled function, and which tokens a query may not see, [B, 1, Sq, S]."""

    attend: Callable[..., Tensor]
    forbidden: Tensor


def _attend(q: Tensor, cache: KVCache, forbidden: Tensor, scale: float) -> Tensor:
    k, v = cache.read(length=forbidden.shape[3])
    return _eager.attend(q, k.to(q.dtype), v.to(q.dtype), forbidden, scale)


@implements("decode_attention", name="compiled", needs=Needs(compiler=True), compiled=True)
class Compiled:
    """The gathering, decoding and eager attention of `naive` through torch.compile, for every layout."""

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> State:
        state = State(_compile.compile_whole(_attend), _cache.forbidden_tokens(case, inputs))
        self.run(inputs, state)  # compiles
        return state

    def run(self, inputs: DecodeInputs, state: State) -> Tensor:
        return state.attend(inputs.q, inputs.cache, state.forbidden, inputs.scale)
