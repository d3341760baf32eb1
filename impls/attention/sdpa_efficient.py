"""torch's scaled_dot_product_attention pinned to the memory-efficient kernel that came from xFormers."""

from __future__ import annotations

from attnlab.bench import Needs, implements
from attnlab.impls import _sdpa


@implements("attention", name="sdpa_efficient", needs=Needs(device="cuda"), serves=_sdpa.SERVES)
class SdpaEfficient(_sdpa.Forward):
    """SDPA's memory-efficient kernel (CUTLASS): any mask, float32 too; packed sequences are one call each."""

    backend = "efficient"
