"""Decoding by gathering the whole cache into one block, decoded, then eager attention: serves everything."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs, implements
from attnlab.impls import _cache, _eager


@implements("decode_attention", name="naive", serves=_cache.SERVES)
class Naive:
    """Gathers and decodes the cache into [B, Hkv, S, D], then eager attention: the baseline, for every layout."""

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> _eager.Matrix:
        return _cache.matrix(case, inputs)

    def run(self, inputs: DecodeInputs, matrix: _eager.Matrix) -> Tensor:
        return _cache.attend_gathered(inputs, matrix)
