"""Results of `serve` made comparable: their cases, what of a case is its load, and what is known of each request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from attnlab.bench.errors import AttnlabError
from attnlab.bench.llm.generation.events import RequestLog, calls_of
from attnlab.bench.llm.generation.served import COUNTED_BY, Delivery, LoadLog, loads_of
from attnlab.bench.ops.serve.case import AS_IT_IS, ServeCase
from attnlab.bench.ops.serve.loads import CONCURRENCY, LoadAxis
from attnlab.bench.reporters.model.logged import Logged
from attnlab.bench.reporters.model.results import Result

IN_PROCESS = "in_process"
"""The implementation that drives the same load on the same engine without HTTP."""
ONE_AT_A_TIME = LoadAxis(CONCURRENCY, at_once=1)
"""What stands for the load in a case of which the load is left out."""


@dataclass(frozen=True)
class ServedRequest:
    """One request: its place in the load, its log, and what is known of its way."""

    number: int
    log: RequestLog
    way: Delivery

    @property
    def late_ns(self) -> float | None:
        """How long after it was due it was sent, connecting left out."""
        if self.way.sent_ns is None:
            return None
        return max(0.0, self.way.sent_ns - self.log.arrival_ns - (self.way.connect_ns or 0.0))

    @property
    def to_headers_ns(self) -> float | None:
        """From its sending to the head of the answer."""
        if self.way.headers_ns is None or self.way.sent_ns is None:
            return None
        return max(0.0, self.way.headers_ns - self.way.sent_ns)


@dataclass(frozen=True)
class ServedResult(Logged):
    """One result of `serve` with its case."""

    case: ServeCase

    @property
    def case_id(self) -> str:
        return self.result.case.case_id

    @cached_property
    def loads(self) -> list[LoadLog]:
        """What the client says of each call; [] of one that says nothing."""
        return loads_of(self.result.row.measurement)

    @cached_property
    def served(self) -> list[list[ServedRequest]]:
        """The requests of every call."""
        nothing = LoadLog(())
        loads = self.loads if len(self.loads) == len(self.calls) else [nothing] * len(self.calls)
        return [
            [
                ServedRequest(number, log, load.deliveries[number] if number < len(load.deliveries) else Delivery())
                for number, log in enumerate(call)
            ]
            for call, load in zip(self.calls, loads, strict=True)
        ]

    @property
    def rate(self) -> float | None:
        """Requests a second that are sent, where the load is a rate."""
        return self.case.load.per_second or None

    @property
    def at_once(self) -> int | None:
        """Requests at a time, where the load is so many."""
        return self.case.load.at_once or None

    @property
    def without_load(self) -> ServeCase:
        """The case but for how much load there is: other arrivals of one rate are another case."""
        load = self.case.load
        if load.per_second:
            return replace(self.case, load=replace(load, per_second=1.0))
        return replace(self.case, load=ONE_AT_A_TIME) if load.at_once else self.case

    @property
    def without_prefix(self) -> ServeCase:
        """The case but for the state of the prefix cache."""
        return replace(self.case, prefix=AS_IT_IS)

    @cached_property
    def cached_share(self) -> float | None:
        """Of all tokens of prompts whose server tells of its cache, the share that was in it."""
        known = [
            (one.way.cached_tokens, one.log.prompt_tokens)
            for call in self.served
            for one in call
            if one.way.cached_tokens is not None
        ]
        whole = sum(prompt for _, prompt in known)
        return sum(cached for cached, _ in known) / whole if whole else None

    @cached_property
    def counted_by(self) -> str | None:
        """Who counted its tokens, the most usual first; None where nobody says it."""
        found = Counter(one.counted_by for load in self.loads for one in load.deliveries)
        order = sorted(found, key=lambda name: (-found[name], COUNTED_BY.index(name)))
        return ", ".join(order) or None

    @property
    def tried_again(self) -> int:
        """How often requests were sent again."""
        return sum(one.attempts - 1 for load in self.loads for one in load.deliveries)

    @property
    def lag_ns(self) -> list[float]:
        """How late the client sent each request of every call."""
        return [lag for load in self.loads for lag in load.lag_ns]


def served_results(results: Sequence[Result]) -> list[ServedResult]:
    """The results whose calls were timed, with their cases; without those whose trace or model is no more there."""
    found = []
    for result in results:
        if result.timed or (result.passed and calls_of(result.row.measurement)):
            with suppress(AttnlabError):
                found.append(ServedResult(result, _case_of(result)))
    return found


def _case_of(result: Result) -> ServeCase:
    known = ServeCase.axes()
    return ServeCase.build({axis: value for axis, value in result.row.measurement.case.items() if axis in known})
