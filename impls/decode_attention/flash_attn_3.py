"""FlashAttention-3's decoding over a cache, for Hopper."""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs, Needs, implements
from attnlab.impls.decode_attention import _flash_cache


@implements(
    "decode_attention",
    name="flash_attn_3",
    needs=Needs(device="cuda", capability=(9, 0), capability_below=(10, 0), packages=("flash_attn_interface",)),
    unverified="flash-attn-3 3.0.0b1, flash_attn_with_kvcache(q, k_cache, v_cache, cache_seqlens=…, page_table=…, "
    "softmax_scale=…, causal=…, window_size=(left, right), attention_chunk=…, softcap=…)",
    serves={"mask": ("chunked",), "softcap": True, "qk_norm": True},
)
class FlashAttn3:
    """FlashAttention-3 for Hopper over contiguous caches and pages of any size; codes would need 8-bit queries."""

    def supports(self, case: DecodeCase) -> str | None:
        return _flash_cache.limits(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> tuple[Any, dict[str, Any]]:
        module = importlib.import_module("flash_attn_interface")
        return module.flash_attn_with_kvcache, _flash_cache.keywords(inputs, "page_table")

    def run(self, inputs: DecodeInputs, call: tuple[Any, dict[str, Any]]) -> Tensor:
        return _flash_cache.run(call[0], inputs, call[1])
