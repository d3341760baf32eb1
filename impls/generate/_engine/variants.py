"""What a model's attention has beyond plain softmax, and which parts of a decoder serve it."""

from __future__ import annotations

from typing import Any

from attnlab.bench import AttentionCase, DecodeCase, ModelConfig
from attnlab.impls.generate._engine.parts import Parts

CASES: dict[str, Any] = {"prompt_attention": AttentionCase, "attention": DecodeCase}
SHORT: dict[str, dict[str, Any]] = {"prompt_attention": {"q_len": 16, "mask": "causal"}, "attention": {"context": 16}}


def axes_of(config: ModelConfig) -> dict[str, Any]:
    """The axes of attention, over a prompt or a cache, that the model is not at the default of."""
    found: dict[str, Any] = {} if config.score_softcap is None else {"softcap": config.score_softcap}
    return found | ({"sinks": "learned"} if config.sinks else {})


def limits(config: ModelConfig, parts: Parts) -> str | None:
    """None, or the reason why a decoder from `parts` does not serve such a model."""
    axes = axes_of(config)
    if not axes:
        return None
    for part, kind in CASES.items():
        case = kind(q_heads=config.q_heads, kv_heads=config.kv_heads, head_dim=config.head_dim, **SHORT[part], **axes)
        reason = parts.implementation(part).supports(case)
        if reason is not None:
            return f"{part} {getattr(parts, part)}: {reason}"
    return None
