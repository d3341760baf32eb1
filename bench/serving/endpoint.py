"""What an implementation of operator `serve` gives: how a request is written for a server, and its answer is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from attnlab.bench.serving.asked import Asked
from attnlab.bench.serving.service import Service

Kind = Literal["text", "reasoning", "tool", "role", "usage", "keep_alive", "done", "error", "other"]
"""What an event brings.

text, reasoning, tool: a piece of the answer, of what comes before it, or of a call of a tool. role: that an answer
begins, without a piece of it; an empty first piece is one too. usage: counts alone. keep_alive: a sign of life, such as
a comment. done: the mark of the end (`[DONE]`). error: the server gives up in mid-stream. other: nothing of these, such
as a finish reason alone.
"""
PIECES: tuple[Kind, ...] = ("text", "reasoning", "tool")
"""Kinds that hold tokens of the answer."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a server says that a request took, in tokens; None where it does not say it.

    prompt, completion: tokens of the prompt and of the whole answer, reasoning included. cached: tokens of the prompt
    that were not computed anew. reasoning: tokens before the answer proper. timings: what else the server measured, by
    its own names, such as `queue_ns` or `prefill_ns`, in nanoseconds.
    """

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    timings: Mapping[str, float] | None = None

    def with_later(self, later: Usage) -> Usage:
        """What is known after a second word of usage, which holds where both speak."""
        return Usage(
            self.prompt if later.prompt is None else later.prompt,
            self.completion if later.completion is None else later.completion,
            self.cached if later.cached is None else later.cached,
            self.reasoning if later.reasoning is None else later.reasoning,
            self.timings if later.timings is None else later.timings,
        )


class Part(NamedTuple):
    """What one event of a stream brings. A tuple, for one is made of every token.

    text: the piece of the answer; of kind `tool` that of a tool's name and arguments. reasoning: the piece of what
    comes before the answer. An event may have both, and is then of kind `text`. tokens: how many tokens the event
    holds, where the server says it; ids: which. error: the server's own words. model: the name that the event gives.
    """

    kind: Kind
    text: str = ""
    reasoning: str = ""
    tokens: int | None = None
    ids: tuple[int, ...] | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: str | None = None
    model: str | None = None

    @property
    def piece(self) -> str:
        """All text that it brings, in the order in which it is counted."""
        return self.reasoning + self.text


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that was not streamed; fields as of `Part`."""

    text: str
    reasoning: str = ""
    ids: tuple[int, ...] | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    tool: str = ""


class UnreadableAnswer(Exception):
    """Raised by `read_event` and `read_whole` where an answer is not what the kind of endpoint promises: says why."""


class Endpoint(Protocol):
    """How one kind of server is asked: pure functions, no I/O.

    path: below the service's address, such as `/v1/chat/completions`. identity_path: what tells the models that it
    serves, or None. Errors that come with a status of 400 or above never reach these functions.
    """

    @property
    def path(self) -> str: ...

    @property
    def identity_path(self) -> str | None: ...

    def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
        """The request as JSON. `service.extra` is put over it by the client and need not be looked at here."""
        ...

    def read_event(self, data: str) -> Part:
        """What the data of one server-sent event brings; raises UnreadableAnswer."""
        ...

    def read_whole(self, body: bytes) -> Whole:
        """An answer that was not streamed; raises UnreadableAnswer."""
        ...
