"""Families of models by Hugging Face's `model_type`: what each computes, and has where its files leave a field out.

Source: `configuration_*.py` and `modeling_*.py` of transformers 5.24 for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from attnlab.bench.llm.models.config import ModelConfig
from attnlab.bench.llm.models.experts import LIMIT, SLOPE

TANH = "gelu_pytorch_tanh"
MOST_LAYERS = 2**16


@dataclass(frozen=True)
class ModelFamily:
    """What a `model_type` stands for.

    features: fields of `ModelConfig` that all its models have. tied, kv_heads, head_dim, rope_theta, query_scalar,
    score_softcap, logit_softcap: where a configuration leaves them out; no number of key-value heads is as many as
    query heads, no head size the hidden size over the heads.
    """

    architecture: str
    features: Mapping[str, Any] = field(default_factory=dict)
    tied: bool = False
    kv_heads: int | None = None
    head_dim: int | None = None
    rope_theta: float = 10_000.0
    local_rope_theta: float | None = None
    """Base in layers with a window; None for families with one base."""
    query_scalar: int | None = None
    score_softcap: float | None = None
    logit_softcap: float | None = None
    window: int | None = None
    """Where a configuration leaves it out; None for families without windows."""
    switch: bool = False
    """The window holds where `use_sliding_window` says so, in layers from `max_window_layers` on, or from 28 on."""
    period: int | None = None
    """The last of so many layers has no window; None for families whose windows are not by period."""
    norms_from_zero: bool = False
    """Weights of norms are kept less one: a row is multiplied by one and the weight."""
    experts: tuple[int, int] = (0, 0)
    """How many there are and how many a token takes, where a configuration leaves it out."""
    needs_rope: bool = False
    """A configuration has to say its rotary parameters: left out they would be others than plain ones."""
    neutral: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Fields of this family that change what is computed, with the values at which they do not; the first is what a
    field left out stands for."""
    takes: frozenset[str] = frozenset()
    """Fields that are computed in this family, and refused in others."""


GEMMA: dict[str, Any] = {"activation": "gelu_tanh", "scaled_embedding": True}
BOTH_CAPS = frozenset({"query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"})

FAMILIES: Mapping[str, ModelFamily] = {
    "llama": ModelFamily("LlamaForCausalLM"),
    "mistral": ModelFamily("MistralForCausalLM", kv_heads=8, window=4096),
    "qwen2": ModelFamily("Qwen2ForCausalLM", {"qkv_bias": True}, kv_heads=32, window=4096, switch=True),
    "qwen3": ModelFamily("Qwen3ForCausalLM", {"qk_norm": True}, kv_heads=32, head_dim=128, window=4096, switch=True),
    "gemma": ModelFamily(
        "GemmaForCausalLM",
        GEMMA,
        tied=True,
        kv_heads=16,
        head_dim=256,
        norms_from_zero=True,
        neutral={"hidden_act": (TANH, "gelu"), "hidden_activation": (None, TANH)},
    ),
    "gemma2": ModelFamily(
        "Gemma2ForCausalLM",
        {**GEMMA, "branch_norms": True},
        tied=True,
        kv_heads=4,
        head_dim=256,
        query_scalar=256,
        score_softcap=50.0,
        logit_softcap=30.0,
        window=4096,
        period=2,
        norms_from_zero=True,
        neutral={"hidden_act": (TANH, "gelu"), "hidden_activation": (TANH,), "sliding_window_pattern": (2, None)},
        takes=BOTH_CAPS,
    ),
    "gemma3_text": ModelFamily(
        "Gemma3ForCausalLM",
        {**GEMMA, "branch_norms": True, "qk_norm": True},
        tied=True,
        kv_heads=4,
        head_dim=256,
        rope_theta=1_000_000.0,
        local_rope_theta=10_000.0,
        query_scalar=256,
        window=4096,
        period=6,
        norms_from_zero=True,
        neutral={"hidden_act": (TANH, "gelu"), "hidden_activation": (TANH,)},
        takes=BOTH_CAPS - {"attn_logit_softcapping"} | {"sliding_window_pattern", "rope_local_base_freq"},
    ),
    "gpt_oss": ModelFamily(
        "GptOssForCausalLM",
        {"activation": "clamped_swish", "qkv_bias": True, "output_bias": True, "sinks": True},
        kv_heads=8,
        head_dim=64,
        rope_theta=150_000.0,
        window=128,
        period=2,
        experts=(128, 4),
        needs_rope=True,
        neutral={"attention_bias": (True,), "swiglu_alpha": (SLOPE,), "swiglu_limit": (LIMIT,)},
        takes=frozenset({"num_local_experts", "num_experts_per_tok"}),
    ),
}
"""By `model_type`. Gemma 1 says `gelu` where it means the approximation; Gemma 3 has no soft cap of scores."""


def kind_of(config: ModelConfig) -> str:
    """The `model_type` whose models are most like `config`."""
    if config.sinks:
        return "gpt_oss"
    if config.branch_norms:
        return "gemma3_text" if config.qk_norm else "gemma2"
    if config.activation != "silu":
        return "gemma"
    if config.qk_norm:
        return "qwen3"
    if config.qkv_bias:
        return "qwen2"
    return "mistral" if config.sliding_window is not None else "llama"
