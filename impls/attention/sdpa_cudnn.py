"""torch's scaled_dot_product_attention pinned to cuDNN."""

from __future__ import annotations

from attnlab.bench import Needs, implements
from attnlab.impls import _sdpa


@implements("attention", name="sdpa_cudnn", needs=Needs(device="cuda", capability=(8, 0)), serves=_sdpa.SERVES)
class SdpaCudnn(_sdpa.Forward):
    """SDPA's cuDNN kernel, which torch may not choose by itself; packed sequences are one call each."""

    backend = "cudnn"
