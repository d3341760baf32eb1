"""Storing new tokens with eager PyTorch: encode, then one indexed write for each plane."""

from __future__ import annotations

from attnlab.bench import AppendInputs, implements
from attnlab.impls import _cache


@implements("kv_append", name="eager", serves=_cache.STORED)
def eager(inputs: AppendInputs) -> None:
    """Encodes in float32 and writes each plane by index, for every layout and format."""
    inputs.cache.write(inputs.k, inputs.v, inputs.starts)
