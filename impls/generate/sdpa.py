"""Our decoder on torch's SDPA, with the quickest parts that a CPU has."""

from __future__ import annotations

from attnlab.bench import GenerateCase, Needs, implements
from attnlab.impls.generate._engine.adapter import EngineAdapter
from attnlab.impls.generate._engine.parts import QUICK_ON_CPU


@implements("generate", name="sdpa", needs=Needs(device="cpu"))
class Sdpa(EngineAdapter):
    """Our decoder on a CPU: SDPA on contiguous caches, weights read once a pass by our kernel, packed for prompts."""

    parts = QUICK_ON_CPU

    def supports(self, case: GenerateCase) -> str | None:
        if case.placing.paged or case.cache != "same":
            return f"layout {case.layout} with cache {case.cache} is not served: contiguous caches of the dtype only"
        return super().supports(case)
