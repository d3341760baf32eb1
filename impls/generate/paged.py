"""Our decoder over pages, with the quickest parts that a CPU has for them."""

from __future__ import annotations

from attnlab.bench import implements
from attnlab.bench.ops.generate import GenerateCase
from attnlab.bench.registry import Needs
from attnlab.impls._lm.parts import Parts
from attnlab.impls._lm.serving import Ours


@implements("generate", name="paged", needs=Needs(device="cpu"))
class Paged(Ours):
    """Our decoder on a CPU over pages, static or continuous: as `sdpa`, but that pages are gathered in each step."""

    parts = Parts(
        prompt_attention="sdpa_flash",
        attention="sdpa_pages",
        append="indexed",
        norm="torch",
        rope="torch",
        activation="torch",
        linear="by_rows",
        prompt_linear="by_rows",
        embedding="torch",
        sampling="candidates",
    )

    def supports(self, case: GenerateCase) -> str | None:
        if not case.placing.paged or case.cache != "same":
            return f"layout {case.layout} with cache {case.cache} is not served: pages of the dtype only"
        return super().supports(case)
