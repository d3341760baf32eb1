"""flash_attn_with_kvcache as FlashAttention-2 and -3 share it: the arguments, and what no release serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from attnlab.bench import DecodeCase, DecodeInputs
from attnlab.impls import _cache, _eager
from attnlab.impls._dtypes import dtype_limits


def limits(case: DecodeCase) -> str | None:
    """What no release serves: float32, heads wider than 256, codes with scales, a ring."""
    if (reason := dtype_limits(case.dtype)) is not None:
        return reason
    if case.head_dim > 256 or case.head_dim % 8:
        return f"head size {case.head_dim} is not served: multiples of 8 up to 256"
    if case.softcap is not None and case.bias:
        return f"softcap {case.softcap:g} is not served beside bias {case.bias}: how they go together is undocumented"
    if case.placing.wraps:
        return f"layout {case.layout} is not served: tokens must lie in order"
    return _cache.format_limits(case)


def run(function: Callable[..., Any], inputs: DecodeInputs, keywords: dict[str, Any]) -> Tensor:
    """q [B, Hq, Sq, D] -> [B, Hq, Sq, D], queries and result as views of [B, Sq, Hq, D]."""
    k, v = inputs.cache.keys.planes["data"], inputs.cache.values.planes["data"]
    result = function(
        _eager.normed(inputs.q, inputs.q_norm).transpose(1, 2), k, v, cache_seqlens=inputs.cache.lengths, **keywords
    )
    out: Tensor = result[0] if isinstance(result, tuple) else result
    return out.transpose(1, 2)


def keywords(inputs: DecodeInputs, table_name: str) -> dict[str, Any]:
    """The mask, the scale, what is added and, for a paged cache, the block table under the release's name for it."""
    window = (-1, -1) if inputs.mask.window is None else (inputs.mask.window - 1, 0)
    arguments: dict[str, Any] = {"softmax_scale": inputs.scale, "causal": True, "window_size": window}
    if inputs.softcap is not None:
        arguments["softcap"] = inputs.softcap
    if inputs.bias_table is not None:
        arguments["alibi_slopes"] = inputs.bias_table
    if inputs.mask.kind == "chunked":
        arguments["attention_chunk"] = inputs.mask.size
    return arguments if inputs.cache.table is None else arguments | {table_name: inputs.cache.table}
