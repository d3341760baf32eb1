"""The Python interface that FlashAttention-2, -3 and -4 share: flash_attn_func and flash_attn_varlen_func.

Their layout is [B, S, H, D], or [T, H, D] for packed sequences; ours goes in and out as views, not copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from attnlab.bench import AttentionCase, AttentionInputs
from attnlab.impls import _eager
from attnlab.impls._dtypes import dtype_limits

SERVES: dict[str, Any] = {"mask": ("document",), "softcap": True, "qk_norm": True, "packed_keys": True}
"""Of all releases: documents of one row are sequences of different lengths to them, and heads are normed before."""


@dataclass(frozen=True)
class Call:
    """The function to call and its keywords; `packed` says which of the two it is.

    norms: weights of the queries' and the keys' norm, or None.
    """

    function: Callable[..., Any]
    keywords: dict[str, Any]
    packed: bool
    norms: tuple[Tensor | None, Tensor | None] = (None, None)


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
    if case.softcap is not None:
        keywords["softcap"] = case.softcap
    norms = inputs.q_norm, inputs.k_norm
    if not case.packed and case.mask.kind != "document":
        return Call(module.flash_attn_func, keywords, packed=False, norms=norms)
    keywords |= packs(case, inputs)
    return Call(module.flash_attn_varlen_func, keywords, packed=True, norms=norms)


def packs(case: AttentionCase, inputs: AttentionInputs) -> dict[str, Any]:
    """Where packed sequences, or the documents of a row, begin and end, and how long the longest is."""
    lengths = case.mask.documents or case.packed
    starts = inputs.packed
    if starts is None:
        starts = torch.tensor((0, *lengths)).cumsum(0).to(dtype=torch.int32, device=inputs.q.device)
    keys = starts if inputs.packed_keys is None else inputs.packed_keys
    longest = {"max_seqlen_q": max(lengths), "max_seqlen_k": max(case.packed_keys or lengths)}
    return {"cu_seqlens_q": starts, "cu_seqlens_k": keys, **longest}


def run(q: Tensor, k: Tensor, v: Tensor, call: Call) -> Tensor:
    """Attention of q [B, Hq, Sq, D], k [B, Hkv, Sk, D] and v [B, Hkv, Sk, Dv] -> [B, Hq, Sq, Dv], a view."""
    q, k = _eager.normed(q, call.norms[0]), _eager.normed(k, call.norms[1])
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
    if case.mask.kind == "document" and case.batch > 1:
        return f"mask {case.mask} is not served of {case.batch} rows: documents of one row only"
    if case.softcap is not None and case.bias:
        return f"softcap {case.softcap:g} is not served beside bias {case.bias}: how they go together is undocumented"
    for name, size in (("head size", case.head_dim), ("value head size", case.v_head_dim)):
        if size > 256:
            return f"{name} {size} is not served: 256 at most"
        if size % multiple:
            return f"{name} {size} is not served: multiples of {multiple} only"
    if case.v_head_dim != case.head_dim and not own_value_size:
        return f"value head size {case.v_head_dim} is not served beside head size {case.head_dim}"
    return None
