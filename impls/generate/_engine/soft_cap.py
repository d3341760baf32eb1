"""Attention whose scores have a soft cap, as Gemma 2's: what the part `naive` does, and no other part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from attnlab.bench import AttentionInputs, DecodeInputs, Implementation, ModelConfig, Unavailable
from attnlab.impls.generate._engine.parts import Kernel, Parts

CAPABLE = "naive"
"""The part of that name is eager on a whole score matrix; what others run in the place of a matrix takes no cap."""


def limits(config: ModelConfig, parts: Parts) -> str | None:
    """None, or the reason why a decoder from `parts` does not serve such a model."""
    names = {part: getattr(parts, part) for part in ("prompt_attention", "attention")}
    others = [f"{part} {name}" for part, name in names.items() if name != CAPABLE]
    if config.score_softcap is None or not others:
        return None
    return f"a soft cap of attention scores ({config.score_softcap:g}) is not served: {' and '.join(others)} have none"


def kernel(implementation: Implementation, case: Any, inputs: AttentionInputs | DecodeInputs, cap: float) -> Kernel:
    """Attention set up for a case, with cap · tanh(score / cap) for its scores; raises Unavailable without one."""
    if implementation.name != CAPABLE:
        raise Unavailable(f"{implementation.key} of {case.id}: it has no soft cap of scores")
    matrix = implementation.prepare(case, inputs)

    def attend(now: AttentionInputs | DecodeInputs) -> Tensor:
        out: Tensor = implementation.run(replace(now, softcap=cap), matrix)
        return out

    return attend
