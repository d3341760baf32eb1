"""Results of `generate` made comparable: their cases, gaps by place in the answer, and the parts of the first token."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from attnlab.bench.errors import AttnlabError
from attnlab.bench.llm.generation.decoding import Decoding
from attnlab.bench.llm.generation.events import calls_of
from attnlab.bench.llm.generation.latencies import icl_ns, itl_ns
from attnlab.bench.llm.generation.measured import median
from attnlab.bench.ops.generate.case import GenerateCase
from attnlab.bench.ops.generate.contract import GENERATE
from attnlab.bench.reporters.model.logged import Logged, first_token_ns
from attnlab.bench.reporters.model.results import Result

WAITING, OTHER = "waiting", "other"


@dataclass(frozen=True)
class Answer(Logged):
    """One result of `generate` that was timed, with its case."""

    case: GenerateCase

    @property
    def plain(self) -> GenerateCase:
        """The case with one token a pass instead, from the same distribution."""
        decoding = self.case.decoding
        method = "greedy" if decoding.greedy else "sample"
        return replace(
            self.case, decoding=Decoding(method, None, decoding.params), draft="skipped", draft_weights="same"
        )

    def gaps_by_place(self, stretch: int) -> list[tuple[float, float]]:
        """(place in the answer, median gap there in ns), by stretches of so many tokens."""
        by_place: dict[int, list[float]] = {}
        for call in self.calls:
            for request in call:
                for place, gap in enumerate(itl_ns(request)):
                    by_place.setdefault(place // stretch, []).append(gap)
        return [((place + 0.5) * stretch + 1, statistics.median(gaps)) for place, gaps in sorted(by_place.items())]

    def stalls_by_place(self, stretch: int) -> list[tuple[float, float]]:
        """(place in the answer, largest gap between chunks there in ns), by stretches of so many tokens."""
        by_place: dict[int, float] = {}
        for call in self.calls:
            for request in call:
                for gap, (_, before) in zip(icl_ns(request), request.chunks, strict=False):
                    place = (before - 1) // stretch
                    by_place[place] = max(gap, by_place.get(place, 0.0))
        return [((place + 0.5) * stretch + 1, gap) for place, gap in sorted(by_place.items())]

    def parts_of_first_token(self) -> dict[str, float] | None:
        """Median time of each part of TTFT, and what is in none of them; None where parts were not logged.

        That is waiting for the most part where requests share the passes.
        """
        m = self.result.row.measurement
        parts = {"tokenise": m.values("request_tokenise"), "sample": m.values("request_first_sample")}
        whole = median(first for call in self.calls if (first := first_token_ns(call)) is not None)
        prefill = m.values("prefill_pass")
        if whole is None or not prefill:
            return None
        found = {"prefill": statistics.median(prefill)}
        found |= {name: statistics.median(values) for name, values in parts.items() if values}
        rest = max(0.0, whole - sum(found.values()))
        return found | ({WAITING: rest} if self.case.requests > 1 else {OTHER: rest})


def answers(results: Sequence[Result]) -> list[Answer]:
    """The results whose calls were timed, with their cases; without those whose trace or model is no more there."""
    found = []
    for result in results:
        if result.timed or (result.passed and calls_of(result.row.measurement)):
            with suppress(AttnlabError):
                found.append(Answer(result, GENERATE.case_of(result.row.measurement)))
    return found
