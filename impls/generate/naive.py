"""Our decoder, every part of it in eager PyTorch as its formula says."""

from __future__ import annotations

from attnlab.bench import implements
from attnlab.impls.generate._engine.adapter import EngineAdapter


@implements("generate", name="naive")
class Naive(EngineAdapter):
    """Our decoder from the plainest parts: whole score matrices, caches gathered anew in each step; the baseline."""
