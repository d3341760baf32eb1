"""Decoding by torch's SDPA, which reads keys and values of one block a sequence where they lie."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnlab.bench import DecodeCase, DecodeInputs, implements
from attnlab.impls import _cache, _eager
from attnlab.impls._cache import VisibleKeys


@implements("decode_attention", name="sdpa", serves=_cache.ADDED)
class Sdpa:
    """torch's SDPA on views of contiguous or ring caches, with the backend that torch chooses; no pages, no codes."""

    def supports(self, case: DecodeCase) -> str | None:
        return _cache.block_limits(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> VisibleKeys:
        return _cache.visible_keys(case, inputs)

    def run(self, inputs: DecodeInputs, visible: VisibleKeys) -> Tensor:
        k, v = _cache.block(inputs, visible.length)
        q = _eager.normed(inputs.q, inputs.q_norm)
        out = scaled_dot_product_attention(
            q, k, v, attn_mask=visible.mask, scale=inputs.scale, enable_gqa=q.shape[1] != k.shape[1]
        )
        return out if visible.blind is None else out.masked_fill(visible.blind, 0.0)
