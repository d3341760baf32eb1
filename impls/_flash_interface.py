"""The Python interface that FlashAttention-2, -3 and -4 share: flash_attn_func and flash_attn_varlen_func.

Their layout is [B, S, H, D], or [T, H, D] for packed sequences; ours goes in and out as views, not copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs
from attnlab.impls._dtypes import dtype_limits


@dataclass(frozen=True)
class Call:
    """The function to call and its keywords; `packed` says which of the two it is."""

    function: Callable[..., Any]
    keywords: dict[str, Any]
    packed: bool


def call_for(module: ModuleType, case: AttentionCase, inputs: AttentionInputs, no_limit: int | None) -> Call:
    """What to call for a case; `no_limit` is the release's word for a side of the window without an end.

    The window counts keys beside the query's own; all releases align it, and causal, bottom-right.
    """
    window = (no_limit, no_limit) if case.mask.window is None else (case.mask.window - 1, 0)
    keywords: dict[str, Any] = {
        "softmax_scale": inputs.scale,
        "causal": case.mask.is_causal,
        "window_size": window,
    }
    if not case.packed:
        return Call(module.flash_attn_func, keywords, packed=False)
    keywords |= {"cu_seqlens_q": inputs.packed, "cu_seqlens_k": inputs.packed}
    keywords |= {"max_seqlen_q": max(case.packed), "max_seqlen_k": max(case.packed)}
    return Call(module.flash_attn_varlen_func, keywords, packed=True)


def run(q: Tensor, k: Tensor, v: Tensor, call: Call) -> Tensor:
    """Attention of q [B, Hq, Sq, D], k [B, Hkv, Sk, D] and v [B, Hkv, Sk, Dv] -> [B, Hq, Sq, Dv], a view."""
    if call.packed:
        rows = (x[0].transpose(0, 1) for x in (q, k, v))  # [T, H, D]
        return _output(call.function(*rows, **call.keywords)).transpose(0, 1)[None]
    rows = (x.transpose(1, 2) for x in (q, k, v))  # [B, S, H, D]
    return _output(call.function(*rows, **call.keywords)).transpose(1, 2)


def _output(result: Any) -> Tensor:
    """Some releases return (out, lse), some out alone."""
    out: Tensor = result[0] if isinstance(result, tuple) else result
    return out


def limits(case: AttentionCase, multiple: int = 1, own_value_size: bool = False) -> str | None:
    """What no release serves: float32, heads wider than 256 or no multiple of `multiple`, and, where the
    release does not say otherwise, a head size of its own for values."""
    if (reason := dtype_limits(case.dtype)) is not None:
        return reason
    for name, size in (("head size", case.head_dim), ("value head size", case.v_head_dim)):
        if size > 256:
            return f"{name} {size} is not served: 256 at most"
        if size % multiple:
            return f"{name} {size} is not served: multiples of {multiple} only"
    if case.v_head_dim != case.head_dim and not own_value_size:
        return f"value head size {case.v_head_dim} is not served beside head size {case.head_dim}"
    return None
