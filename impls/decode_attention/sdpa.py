"""Decoding by torch's SDPA, which reads keys and values of one block a sequence where they lie."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnlab.bench import DecodeCase, DecodeInputs, implements
from attnlab.impls import _cache
from attnlab.impls._cache import Seen


@implements("decode_attention", name="sdpa")
class Sdpa:
    """torch's SDPA on views of contiguous or ring caches, with the backend that torch chooses; no pages, no codes."""

    def supports(self, case: DecodeCase) -> str | None:
        return _cache.one_block(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> Seen:
        return _cache.seen_places(case, inputs)

    def run(self, inputs: DecodeInputs, seen: Seen) -> Tensor:
        k, v = _cache.block(inputs, seen.length)
        out = scaled_dot_product_attention(
            inputs.q, k, v, attn_mask=seen.permitted, scale=inputs.scale, enable_gqa=inputs.q.shape[1] != k.shape[1]
        )
        return out if seen.blind is None else out.masked_fill(seen.blind, 0.0)
