"""FlashAttention-2, from the package flash-attn."""

from __future__ import annotations

import importlib

from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, Needs, implements
from attnlab.impls import _flash_interface
from attnlab.impls._flash_interface import Call


@implements(
    "attention",
    name="flash_attn",
    needs=Needs(device="cuda", capability=(8, 0), packages=("flash_attn.flash_attn_interface",)),
    unverified="flash-attn 2.8.3, flash_attn_func(q, k, v, softmax_scale=…, causal=…, window_size=(left, right), "
    "softcap=…, alibi_slopes=…)",
    serves=_flash_interface.SERVES | {"bias": ("alibi",)},
)
class FlashAttn:
    """FlashAttention-2, the package flash-attn; odd head sizes are padded by the package, in its time."""

    def supports(self, case: AttentionCase) -> str | None:
        return _flash_interface.limits(case)

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> Call:
        module = importlib.import_module("flash_attn.flash_attn_interface")
        call = _flash_interface.call_for(module, case, inputs, no_limit=-1)
        if inputs.bias_table is not None:
            call.keywords["alibi_slopes"] = inputs.bias_table
        return call

    def run(self, inputs: AttentionInputs, call: Call) -> Tensor:
        return _flash_interface.run(inputs.q, inputs.k, inputs.v, call)
