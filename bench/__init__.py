"""The public edge of attnlab's harness; importing it imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnlab.bench.errors import AttnlabError, Unavailable, UsageError
from attnlab.bench.registry import Implementation, Needs, Registry, discover, implements, registry

if TYPE_CHECKING:
    from attnlab.bench.caches import KVCache
    from attnlab.bench.masks import Mask
    from attnlab.bench.models.config import ModelConfig
    from attnlab.bench.models.load import load_model
    from attnlab.bench.models.rope_scaling import Llama3Scaling
    from attnlab.bench.models.weights import ModelWeights
    from attnlab.bench.ops.attention_backward import AttentionBackwardInputs
    from attnlab.bench.ops.attention_case import AttentionCase, AttentionInputs
    from attnlab.bench.ops.caching import DecodeCase
    from attnlab.bench.ops.decode_inputs import DecodeInputs
    from attnlab.bench.ops.embedding import EmbeddingCase, EmbeddingInputs
    from attnlab.bench.ops.gelu import GeluCase, GeluInputs
    from attnlab.bench.ops.kv_append import AppendCase, AppendInputs
    from attnlab.bench.ops.layernorm import LayerNormCase, LayerNormInputs
    from attnlab.bench.ops.linear import LinearCase, LinearInputs
    from attnlab.bench.ops.rmsnorm import RmsNormCase, RmsNormInputs
    from attnlab.bench.ops.rope import RopeCase, RopeInputs
    from attnlab.bench.ops.rope_math import rope_tables
    from attnlab.bench.ops.sampling_case import SamplingCase, SamplingInputs
    from attnlab.bench.ops.swiglu import SwigluCase, SwigluInputs
    from attnlab.bench.sampling_params import SamplingParams
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
    "EmbeddingCase",
    "EmbeddingInputs",
    "GeluCase",
    "GeluInputs",
    "Implementation",
    "KVCache",
    "LayerNormCase",
    "LayerNormInputs",
    "LinearCase",
    "LinearInputs",
    "Llama3Scaling",
    "Mask",
    "ModelConfig",
    "ModelWeights",
    "Needs",
    "Registry",
    "RmsNormCase",
    "RmsNormInputs",
    "RopeCase",
    "RopeInputs",
    "SamplingCase",
    "SamplingInputs",
    "SamplingParams",
    "SwigluCase",
    "SwigluInputs",
    "Unavailable",
    "UsageError",
    "discover",
    "implements",
    "load",
    "load_model",
    "registry",
    "rope_tables",
]

_LAZY = {
    "AppendCase": "attnlab.bench.ops.kv_append",
    "AppendInputs": "attnlab.bench.ops.kv_append",
    "AttentionBackwardInputs": "attnlab.bench.ops.attention_backward",
    "AttentionCase": "attnlab.bench.ops.attention",
    "AttentionInputs": "attnlab.bench.ops.attention",
    "DecodeCase": "attnlab.bench.ops.caching",
    "DecodeInputs": "attnlab.bench.ops.decode_attention",
    "EmbeddingCase": "attnlab.bench.ops.embedding",
    "EmbeddingInputs": "attnlab.bench.ops.embedding",
    "GeluCase": "attnlab.bench.ops.gelu",
    "GeluInputs": "attnlab.bench.ops.gelu",
    "KVCache": "attnlab.bench.caches",
    "LayerNormCase": "attnlab.bench.ops.layernorm",
    "LayerNormInputs": "attnlab.bench.ops.layernorm",
    "LinearCase": "attnlab.bench.ops.linear",
    "LinearInputs": "attnlab.bench.ops.linear",
    "Llama3Scaling": "attnlab.bench.models.rope_scaling",
    "Mask": "attnlab.bench.masks",
    "ModelConfig": "attnlab.bench.models.config",
    "ModelWeights": "attnlab.bench.models.weights",
    "RmsNormCase": "attnlab.bench.ops.rmsnorm",
    "RmsNormInputs": "attnlab.bench.ops.rmsnorm",
    "RopeCase": "attnlab.bench.ops.rope",
    "RopeInputs": "attnlab.bench.ops.rope",
    "SamplingCase": "attnlab.bench.ops.sampling",
    "SamplingInputs": "attnlab.bench.ops.sampling",
    "SamplingParams": "attnlab.bench.sampling_params",
    "SwigluCase": "attnlab.bench.ops.swiglu",
    "SwigluInputs": "attnlab.bench.ops.swiglu",
    "load": "attnlab.bench.store.frame",
    "load_model": "attnlab.bench.models.load",
    "rope_tables": "attnlab.bench.ops.rope_math",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
