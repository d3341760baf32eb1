"""Results whose calls left a log of requests: figures of each call, and two results set side by side, by rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from attnlab.bench.llm.generation.events import RequestLog, calls_of, requests_of
from attnlab.bench.llm.generation.latencies import itl_ns, span_ns, ttft_ns
from attnlab.bench.llm.generation.measured import median
from attnlab.bench.reporters.model.results import Result
from attnlab.bench.stats.rounds import Difference, Ratio, RoundFigure, difference, ratio

Figure = Callable[[list[RequestLog]], float | None]


def first_token_ns(requests: list[RequestLog]) -> float | None:
    """The median time to first token of a call."""
    return median(first for r in requests if (first := ttft_ns(r)) is not None)


def gap_ns(requests: list[RequestLog]) -> float | None:
    """The median inter-token latency of a call."""
    return median(gap for r in requests for gap in itl_ns(r))


def whole_ns(requests: list[RequestLog]) -> float | None:
    """From the first arrival to the last token of a call."""
    return span_ns(requests)


@dataclass(frozen=True)
class Logged:
    """One result that was timed, with the requests of its calls."""

    result: Result

    @property
    def implementation(self) -> str:
        return self.result.implementation

    @property
    def label(self) -> str:
        """Of the case, among those of the section."""
        return self.result.case.label

    @cached_property
    def calls(self) -> list[list[RequestLog]]:
        return calls_of(self.result.row.measurement)

    @property
    def paced(self) -> bool:
        """Whether a call lasts as long as its requests take to come."""
        return self.result.row.measurement.paced is not None

    def rounds(self, figure: Figure) -> list[RoundFigure]:
        """A figure of every call, in order; [] where some call has none."""
        bursts = [burst for launch in self.result.row.measurement.launches for burst in launch.bursts]
        calls = [(burst.started_s, requests) for burst in bursts if (requests := requests_of(burst))]
        found = [RoundFigure(start, value) for start, call in calls if (value := figure(call)) is not None]
        return found if len(found) == len(calls) else []

    def over(self, other: Logged, figure: Figure) -> Ratio | None:
        """How many times smaller the figure is than another result's, in rounds that took turns."""
        return ratio(other.rounds(figure), self.rounds(figure))

    def beyond(self, other: Logged, figure: Figure) -> Difference | None:
        """How much more the figure is than another result's, in rounds that took turns."""
        return difference(other.rounds(figure), self.rounds(figure))
