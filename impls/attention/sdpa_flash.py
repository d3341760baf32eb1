"""torch's scaled_dot_product_attention pinned to its flash kernels, on CUDA and on the CPU."""

from __future__ import annotations

from attnlab.bench import implements
from attnlab.impls import _sdpa


@implements("attention", name="sdpa_flash", serves=_sdpa.SERVES)
class SdpaFlash(_sdpa.Forward):
    """SDPA's flash kernel: FlashAttention-2 on CUDA, torch's own on the CPU; packed sequences one by one.

    On CUDA it takes no mask but causal ones, and not float32; torch's own words say so where it refuses.
    """

    backend = "flash"
