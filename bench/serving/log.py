"""What became of a load: each request as it went, how late the client was, and which requests are of the steady part.

Times are nanoseconds since the load began, by `time.perf_counter_ns` (on Linux CLOCK_MONOTONIC, one for all
processes); a step of the wall clock changes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from attnlab.bench.llm.generation.logs import RequestLog
from attnlab.bench.llm.generation.served import LATE_NS, p99
from attnlab.bench.serving.endpoint import PIECES, Kind, Usage
from attnlab.bench.serving.failures import Failure

CountedBy = Literal["usage", "ids", "tokenizer", "chunks"]
"""Who said how many tokens an answer has: the server's usage, ids that it sent, the caller's tokenizer, or nobody, so
that each event with a piece stands for one."""
SplitBy = Literal["ids", "tokenizer", "one_each", "characters"]
"""How tokens are told apart among events: by ids or counts that the server sent with each, by the caller's tokenizer,
one each where there are as many events as tokens, else in proportion to their characters."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Every event of a stream and every comment, in columns of one length.

    times_ns: when the last byte of the event came out of the socket. sizes_bytes: of the event in the stream. kinds:
    see `endpoint.Kind`. tokens: how many tokens of the answer had come by then, reasoning and tools included.
    """

    times_ns: tuple[int, ...] = ()
    sizes_bytes: tuple[int, ...] = ()
    kinds: tuple[Kind, ...] = ()
    tokens: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.times_ns)

    def first_ns(self, kinds: Sequence[Kind] = PIECES) -> int | None:
        """When the first event of these kinds came: with `("text",)`, the answer proper after any reasoning."""
        return next((time for time, kind in zip(self.times_ns, self.kinds, strict=True) if kind in kinds), None)


@dataclass(frozen=True)
class Served:
    """One request as it went.

    due_ns: the intended start; of a closed loop when its place became free, at first one a millisecond; of a turn when
    its think time was over.
    begun_ns: when the client turned to it. sent_ns: when its bytes went to the socket, of its last attempt, as are
    connected_ns (None where a connection was there already), connecting_ns (what it waited for one, 0 where none) and
    headers_ns. ended_ns: when its last byte came, or it failed. None is what did not happen.

    arrivals hold what came, of a request that failed too. text, reasoning, tool: the answer's texts. done: whether the
    stream's mark of the end came. streamed: False where the answer came whole: its arrival is then one. attempts: 1
    without a retry; retried: what the attempts before the last one failed of. process: which of the client's.
    """

    number: int
    due_ns: int
    begun_ns: int
    ended_ns: int
    sent_ns: int | None = None
    connected_ns: int | None = None
    connecting_ns: int = 0
    headers_ns: int | None = None
    arrivals: Arrivals = Arrivals()
    text: str = ""
    reasoning: str = ""
    tool: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    counted_by: CountedBy = "chunks"
    split_by: SplitBy = "one_each"
    ids: tuple[int, ...] | None = None
    model: str | None = None
    done: bool = False
    streamed: bool = True
    status: int | None = None
    attempts: int = 1
    retried: tuple[Failure, ...] = ()
    failure: Failure | None = None
    prompt_tokens: int | None = None
    process: int = 0

    @property
    def lag_ns(self) -> int | None:
        """How much later than due the client sent it, without what it waited for a connection; None unless it was.

        Of a request that was sent again, how late the client turned to it: waiting for a retry is none of the lag.
        """
        if self.sent_ns is None:
            return None
        return self.begun_ns - self.due_ns if self.retried else self.sent_ns - self.due_ns - self.connecting_ns

    @property
    def tokens(self) -> int:
        """Tokens of the answer that came."""
        return self.arrivals.tokens[-1] if self.arrivals.tokens else 0

    def request_log(self) -> RequestLog:
        """It in the form of `generate`'s log, for every metric that is made of one.

        The arrival is the intended start. Events without a token are left out, except where all are. The ids go with
        it where the server told them all.
        """
        events: list[tuple[float, int]] = []
        before = 0
        for time_ns, tokens in zip(self.arrivals.times_ns, self.arrivals.tokens, strict=True):
            if tokens > before:
                events.append((float(time_ns), tokens))
                before = tokens
        return RequestLog(
            arrival_ns=float(self.due_ns),
            prompt_tokens=self.prompt_tokens or 0,
            times_ns=tuple(time for time, _ in events),
            tokens=tuple(tokens for _, tokens in events),
            ids=self.ids if self.ids is not None and len(self.ids) == before else None,
            failure=None if self.failure is None else str(self.failure),
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a load, in which the requests that are due count as steady; times as of the log."""

    begin_ns: int
    end_ns: int

    def __contains__(self, time_ns: object) -> bool:
        return isinstance(time_ns, (int, float)) and self.begin_ns <= time_ns <= self.end_ns


@dataclass(frozen=True)
class ServedLog:
    """A load as it went.

    requests: all that were begun, by number. unsent: numbers of those that never were, for the load was interrupted,
    was to stop, or a turn before failed. loop_lag_ns: how late the client's own loops woke, sampled all along.
    begun_ns: when it began, by `time.perf_counter_ns`; ended_ns: since then. window: the steady part; None where the
    load ended within its warm-up. interrupted: whether Ctrl-C ended it; what was under way has failed of it.
    """

    requests: tuple[Served, ...]
    begun_ns: int
    ended_ns: int
    loop_lag_ns: tuple[int, ...] = ()
    unsent: tuple[int, ...] = ()
    window: Window | None = None
    interrupted: bool = False
    processes: int = 1

    @cached_property
    def lag_ns(self) -> tuple[int, ...]:
        """How late each request that was sent was, by number."""
        return tuple(lag for one in self.requests if (lag := one.lag_ns) is not None)

    @property
    def late(self) -> bool:
        """Whether sending was late by more than 1 ms at p99: the load was not the one that was asked for."""
        return (p99(self.lag_ns) or 0.0) > LATE_NS

    @property
    def held_up(self) -> bool:
        """Whether the client's loop was late by more than 1 ms at p99: times of arrival may be so much too late."""
        return (p99(self.loop_lag_ns) or 0.0) > LATE_NS

    @property
    def steady(self) -> tuple[Served, ...]:
        """The requests of the steady window, by when they were due."""
        return () if self.window is None else tuple(one for one in self.requests if one.due_ns in self.window)

    @property
    def retries(self) -> int:
        """How often any request was sent again."""
        return sum(one.attempts - 1 for one in self.requests)

    @property
    def failures(self) -> dict[str, int]:
        """How many requests failed of what kind."""
        counts: dict[str, int] = {}
        for one in self.requests:
            if one.failure is not None:
                counts[one.failure.kind] = counts.get(one.failure.kind, 0) + 1
        return counts
