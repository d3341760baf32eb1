"""Decoding by torch's SDPA, with the query heads that share keys as rows of one head."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnlab.bench import DecodeCase, DecodeInputs, implements
from attnlab.impls import _cache, _eager
from attnlab.impls._cache import VisibleKeys
from attnlab.impls._heads import as_heads, as_rows


@implements("decode_attention", name="sdpa_rows", serves=_cache.ADDED)
class SdpaRows:
    """torch's SDPA on contiguous or ring caches, a group's query heads as rows: keys are read once a group."""

    def supports(self, case: DecodeCase) -> str | None:
        return _cache.block_limits(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> VisibleKeys:
        visible = _cache.visible_keys(case, inputs)
        mask = visible.mask
        if inputs.bias_table is not None and mask is not None:
            mask = as_rows(mask, case.kv_heads)  # [B, Hkv, G·Sq, S]
        elif mask is not None:
            mask = mask.repeat(1, 1, case.q_heads // case.kv_heads, 1)  # [B, 1, G·Sq, S]
        return VisibleKeys(visible.length, mask, visible.blind)

    def run(self, inputs: DecodeInputs, visible: VisibleKeys) -> Tensor:
        k, v = _cache.block(inputs, visible.length)
        rows = as_rows(_eager.normed(inputs.q, inputs.q_norm), k.shape[1])
        out = scaled_dot_product_attention(rows, k, v, attn_mask=visible.mask, scale=inputs.scale)
        heads = as_heads(out, inputs.q.shape[1], inputs.q.shape[2])
        return heads if visible.blind is None else heads.masked_fill(visible.blind, 0.0)
