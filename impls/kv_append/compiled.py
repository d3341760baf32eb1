"""The eager write through torch.compile: encoding fused into the indexed writes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from attnlab.bench import AppendInputs, DecodeCase, KVCache, Needs, implements
from attnlab.impls import _cache, _compile

Write = Callable[[KVCache, Tensor, Tensor, Tensor], None]


def _write(cache: KVCache, k: Tensor, v: Tensor, starts: Tensor) -> None:
    cache.write(k, v, starts)


@implements("kv_append", name="compiled", needs=Needs(compiler=True), compiled=True, serves=_cache.STORED)
class Compiled:
    """What `eager` does through torch.compile, for every layout and format."""

    def prepare(self, case: DecodeCase, inputs: AppendInputs) -> Write:
        write: Write = _compile.compile_whole(_write)
        write(inputs.cache, inputs.k, inputs.v, inputs.starts)  # compiles
        return write

    def run(self, inputs: AppendInputs, write: Write) -> None:
        write(inputs.cache, inputs.k, inputs.v, inputs.starts)
