"""The backward pass of SDPA's unfused formula, by autograd."""

from __future__ import annotations

from attnlab.bench import implements
from attnlab.impls import _sdpa as _forward
from attnlab.impls.attention_backward import _sdpa


@implements("attention_backward", name="sdpa_math", serves=_forward.SERVES)
class SdpaMath(_sdpa.Autograd):
    """Autograd through SDPA's unfused formula, with the forward whose score matrix it needs; both are timed."""

    backend = "math"
