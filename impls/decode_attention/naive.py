"""Decoding by gathering the whole cache into one block, decoded, then eager attention: serves everything."""

from __future__ import annotations

from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs, implements
from attnlab.impls import _cache, _eager


@implements("decode_attention", name="naive")
class Naive:
    """Gathers and decodes the cache into [B, Hkv, S, D], then eager attention: the baseline, for every layout."""

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> Tensor:
        return _cache.forbidden_tokens(case, inputs)

    def run(self, inputs: DecodeInputs, forbidden: Tensor) -> Tensor:
        k, v = inputs.cache.read(length=forbidden.shape[3])
        return _eager.attend(inputs.q, k.to(inputs.q.dtype), v.to(inputs.q.dtype), forbidden, inputs.scale)
