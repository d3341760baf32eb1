"""FlashAttention-4, written in CuTe's Python language, from the package flash-attn-4."""

from __future__ import annotations

import importlib

from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, Needs, Unavailable, implements
from attnlab.impls import _flash_interface
from attnlab.impls._flash_interface import Call


@implements(
    "attention",
    name="flash_attn_4",
    needs=Needs(device="cuda", capability=(9, 0), packages=("flash_attn.cute",)),
    unverified="flash-attn-4 4.0.0b36, "
    "flash_attn_func(q, k, v, softmax_scale=…, causal=…, window_size=(left, right), "
    "learnable_sink=…, softcap=…) -> (out, lse)",
    serves=_flash_interface.SERVES | {"sinks": True},
)
class FlashAttn4:
    """FlashAttention-4 for Hopper and Blackwell, the package flash-attn-4; it compiles as set-up."""

    def supports(self, case: AttentionCase) -> str | None:
        if case.sinks == "learned" and case.dtype != "bfloat16":
            return f"sinks of {case.dtype} are not served: bfloat16 only"
        return _flash_interface.limits(case, multiple=8, own_value_size=True)

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> Call:
        module = importlib.import_module("flash_attn.cute")
        call = _flash_interface.call_for(module, case, inputs, no_limit=None)
        if inputs.sinks is not None:
            call.keywords["learnable_sink"] = inputs.sinks.bfloat16()  # it takes no other dtype
        try:
            self.run(inputs, call)  # compiles
        except AssertionError as error:  # how it refuses what the GPU at hand does not serve
            raise Unavailable(f"flash-attn-4: {' '.join(str(error).split())}") from error
        return call

    def run(self, inputs: AttentionInputs, call: Call) -> Tensor:
        return _flash_interface.run(inputs.q, inputs.k, inputs.v, call)
