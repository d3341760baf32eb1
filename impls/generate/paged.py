"""Our decoder over pages, with the quickest parts that a CPU has for them."""

from __future__ import annotations

from dataclasses import replace

from attnlab.bench import GenerateCase, Needs, implements
from attnlab.impls.generate._engine.adapter import EngineAdapter
from attnlab.impls.generate._engine.parts import QUICK_ON_CPU


@implements("generate", name="paged", needs=Needs(device="cpu"))
class Paged(EngineAdapter):
    """Our decoder on a CPU over pages, static or continuous: as `sdpa`, but that pages are gathered in each step."""

    parts = replace(QUICK_ON_CPU, attention="sdpa_pages", append="indexed")

    def supports(self, case: GenerateCase) -> str | None:
        if not case.placing.paged or case.cache != "same":
            return f"layout {case.layout} with cache {case.cache} is not served: pages of the dtype only"
        return super().supports(case)
