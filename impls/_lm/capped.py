"""Attention whose scores have a soft cap, as Gemma 2's: what the part `naive` does, and no other part."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from attnlab.bench import AttentionInputs, DecodeInputs, Implementation, ModelConfig, Unavailable
from attnlab.impls import _eager
from attnlab.impls._lm.parts import Parts, Run

CAPPED = "naive"
"""The part of that name is eager on a whole score matrix; what others run in the place of a matrix takes no cap."""


def no_cap(config: ModelConfig, parts: Parts) -> str | None:
    """None, or the reason why a decoder from `parts` does not serve such a model."""
    names = [f"{part} {name}" for part in ("prompt_attention", "attention") if (name := getattr(parts, part)) != CAPPED]
    if config.score_softcap is None or not names:
        return None
    return f"a soft cap of attention scores ({config.score_softcap:g}) is not served: {' and '.join(names)} have none"


def capped(made: Implementation, case: Any, inputs: AttentionInputs | DecodeInputs, cap: float) -> Run:
    """`made`, set up for a case, with cap · tanh(score / cap) for its scores; raises Unavailable where it has none."""
    if made.name != CAPPED:
        raise Unavailable(f"{made.key} of {case.id}: it has no soft cap of scores")
    forbidden = made.prepare(case, inputs)

    def attend(now: AttentionInputs | DecodeInputs) -> Tensor:
        if isinstance(now, AttentionInputs):
            return _eager.attend(now.q, now.k, now.v, forbidden, now.scale, cap)
        k, v = (x.to(now.q.dtype) for x in now.cache.read(length=forbidden.shape[3]))
        return _eager.attend(now.q, k, v, forbidden, now.scale, cap)

    return attend
