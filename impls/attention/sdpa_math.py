"""torch's scaled_dot_product_attention pinned to its unfused formula."""

from __future__ import annotations

from attnlab.bench import implements
from attnlab.impls import _sdpa


@implements("attention", name="sdpa_math", serves=_sdpa.SERVES)
class SdpaMath(_sdpa.Forward):
    """SDPA's unfused formula, in float32 inside; packed sequences are one call each."""

    backend = "math"
