"""The public edge of attnlab's harness; importing it imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import AttnlabError, Unavailable, UsageError
from attnlab.bench.registry import Implementation, Needs, Registry, discover, implements, registry

if TYPE_CHECKING:
    from attnlab.bench.masks import Mask
    from attnlab.bench.ops.attention import AttentionCase, AttentionInputs
    from attnlab.bench.ops.attention_backward import AttentionBackwardInputs
    from attnlab.bench.store.frame import load

__all__ = [
    "AttentionBackwardInputs",
    "AttentionCase",
    "AttentionInputs",
    "AttnlabError",
    "Implementation",
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
    "AttentionBackwardInputs": "attnlab.bench.ops.attention_backward",
    "AttentionCase": "attnlab.bench.ops.attention",
    "AttentionInputs": "attnlab.bench.ops.attention",
    "Mask": "attnlab.bench.masks",
    "load": "attnlab.bench.store.frame",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
