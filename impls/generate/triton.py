"""Our decoder from our Triton kernels, its steps replayed as CUDA graphs."""

from __future__ import annotations

from attnlab.bench import Needs, implements
from attnlab.impls.generate._engine.adapter import EngineAdapter
from attnlab.impls.generate._engine.parts import Parts


@implements("generate", name="triton", needs=Needs(device="cuda", packages=("triton",)))
class Triton(EngineAdapter):
    """Our decoder on our Triton kernels, cuBLAS between them; steps of one token are replayed as CUDA graphs."""

    parts = Parts(
        prompt_attention="triton",
        attention="triton",
        append="triton",
        norm="triton",
        rope="triton",
        activation="triton",
        gelu="triton",
        embedding="triton",
        sampling="triton",
    )
    graphs = True
