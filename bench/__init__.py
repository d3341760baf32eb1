"""The public edge of attnlab's harness; importing it imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import AttnlabError, Unavailable, UsageError
from attnlab.bench.registry import Implementation, Needs, Registry, discover, implements, registry

if TYPE_CHECKING:
    from attnlab.bench.caches import KVCache
    from attnlab.bench.masks import Mask
    from attnlab.bench.ops.attention import AttentionCase, AttentionInputs
    from attnlab.bench.ops.attention_backward import AttentionBackwardInputs
    from attnlab.bench.ops.caching import DecodeCase
    from attnlab.bench.ops.decode_attention import DecodeInputs
    from attnlab.bench.ops.kv_append import AppendCase, AppendInputs
    from attnlab.bench.store.frame import load

__all__ = [
    "AppendCase",
    "AppendInputs",
    "AttentionBackwardInputs",
    "AttentionCase",
    "AttentionInputs",
    "AttnlabError",
    "DecodeCase",
    "DecodeInputs",
    "Implementation",
    "KVCache",
    "Mask",
    "Needs",
    "Registry",
    "Unavailable",
    "UsageError",
    "discover",
    "implements",
    "load",
    "registry",
]

_LAZY = {
    "AppendCase": "attnlab.bench.ops.kv_append",
    "AppendInputs": "attnlab.bench.ops.kv_append",
    "AttentionBackwardInputs": "attnlab.bench.ops.attention_backward",
    "AttentionCase": "attnlab.bench.ops.attention",
    "AttentionInputs": "attnlab.bench.ops.attention",
    "DecodeCase": "attnlab.bench.ops.caching",
    "DecodeInputs": "attnlab.bench.ops.decode_attention",
    "KVCache": "attnlab.bench.caches",
    "Mask": "attnlab.bench.masks",
    "load": "attnlab.bench.store.frame",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
