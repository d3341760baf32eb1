"""FlashAttention-3 for Hopper, from its own package or from the forward-only fa3-fwd."""

from __future__ import annotations

import importlib
import importlib.util

from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs, Needs, implements
from attnlab.impls import _flash_interface
from attnlab.impls._flash_interface import Call

BUILDS = {
    "flash_attn_interface": "flash_attn_config",
    "fa3_fwd_interface": "fa3_fwd_config",
}  # and what they left out


@implements(
    "attention",
    name="flash_attn_3",
    needs=Needs(device="cuda", capability=(9, 0), capability_below=(10, 0)),
    unverified="flash-attn-3 3.0.0b1 and fa3-fwd 0.0.3, "
    "flash_attn_func(q, k, v, softmax_scale=…, causal=…, window_size=(left, right), attention_chunk=…, softcap=…)",
    serves=_flash_interface.SERVES | {"mask": ("document", "chunked")},
)
class FlashAttn3:
    """FlashAttention-3 for Hopper, from the package flash_attn_interface or else fa3_fwd_interface."""

    def supports(self, case: AttentionCase) -> str | None:
        build = _build()
        if build is None:
            return f"package {' or '.join(BUILDS)} is not installed"
        left_out = _left_out(BUILDS[build])
        if case.mask.window is not None and "FLASHATTENTION_DISABLE_LOCAL" in left_out:
            return f"sliding windows are not served: {build} was built without them"
        if case.mask.kind == "chunked" and "FLASHATTENTION_DISABLE_LOCAL" in left_out:
            return f"mask {case.mask} is not served: {build} was built without local attention"
        if case.softcap is not None and "FLASHATTENTION_DISABLE_SOFTCAP" in left_out:
            return f"softcap is not served: {build} was built without it"
        if case.dtype == "float16" and "FLASHATTENTION_DISABLE_FP16" in left_out:
            return f"float16 is not served: {build} was built without it"
        own_value_size = case.head_dim <= 64 or (128 < case.head_dim <= 192 and 96 < case.v_head_dim <= 128)
        return _flash_interface.limits(case, multiple=8, own_value_size=own_value_size)

    def prepare(self, case: AttentionCase, inputs: AttentionInputs) -> Call:
        module = importlib.import_module(_build() or next(iter(BUILDS)))
        call = _flash_interface.call_for(module, case, inputs, no_limit=-1)
        if case.mask.kind == "chunked":
            call.keywords["attention_chunk"] = case.mask.size
        return call

    def run(self, inputs: AttentionInputs, call: Call) -> Tensor:
        return _flash_interface.run(inputs.q, inputs.k, inputs.v, call)


def _build() -> str | None:
    """The first build that is installed."""
    return next((name for name in BUILDS if importlib.util.find_spec(name) is not None), None)


def _left_out(config: str) -> set[str]:
    """The flags of a build that switch something off; none known where it does not tell."""
    if importlib.util.find_spec(config) is None:
        return set()
    flags = importlib.import_module(config).CONFIG["build_flags"]
    return {name for name, set_ in flags.items() if set_}
