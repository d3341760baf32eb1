"""FlashAttention-2's decoding over a cache, from the package flash-attn."""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs, Needs, implements
from attnlab.impls.decode_attention import _flash_cache

PAGE_MULTIPLE = 256


@implements(
    "decode_attention",
    name="flash_attn",
    needs=Needs(device="cuda", capability=(8, 0), packages=("flash_attn.flash_attn_interface",)),
    unverified="flash-attn 2.8.3, flash_attn_with_kvcache(q, k_cache, v_cache, cache_seqlens=…, block_table=…, "
    "softmax_scale=…, causal=…, window_size=(left, right), softcap=…, alibi_slopes=…)",
    serves={"softcap": True, "bias": ("alibi",), "qk_norm": True},
)
class FlashAttn:
    """FlashAttention-2 over contiguous caches and pages that are multiples of 256 tokens; no codes."""

    def supports(self, case: DecodeCase) -> str | None:
        if case.placing.paged and (case.placing.page_tokens or 0) % PAGE_MULTIPLE:
            return f"layout {case.layout} is not served: pages of a multiple of {PAGE_MULTIPLE} tokens only"
        return _flash_cache.limits(case)

    def prepare(self, case: DecodeCase, inputs: DecodeInputs) -> tuple[Any, dict[str, Any]]:
        module = importlib.import_module("flash_attn.flash_attn_interface")
        return module.flash_attn_with_kvcache, _flash_cache.keywords(inputs, "block_table")

    def run(self, inputs: DecodeInputs, call: tuple[Any, dict[str, Any]]) -> Tensor:
        return _flash_cache.run(call[0], inputs, call[1])
