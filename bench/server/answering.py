"""One request while it is answered: tokens become text piece by piece, up to a stop string, the length or the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from attnlab.bench.llm.generation.live import Beginning, FinishReason, Likelihood, LiveEvent
from attnlab.bench.llm.models.tokenizer import TextStream
from attnlab.bench.server.refusal import Refusal
from attnlab.bench.server.stops import StopStrings


@dataclass(frozen=True)
class Usage:
    """Tokens of one request so far; cached: of the prompt, those whose keys and values were found.

    timings: where the time to the first token went, in nanoseconds by name; empty before it is there.
    """

    prompt: int
    completion: int
    cached: int
    timings: Mapping[str, float]


@dataclass(frozen=True)
class Piece:
    """What one token, or several, brought: text may be empty where characters or a stop are not yet whole."""

    text: str
    token_ids: tuple[int, ...] = ()
    likelihoods: tuple[Likelihood, ...] = ()
    finish_reason: str | None = None


class Answering:
    """The events of one request, which the engine brings one by one, as pieces of an answer.

    tokenise_ns: from the request's arrival until its prompt was ids, and a schema a grammar. cancel: called once where
    the answer is ended before the engine ends it. seen: called with each event, when it is there. What waits to be sent
    is bounded by the tokens that the request may have.
    """

    def __init__(
        self,
        prompt_tokens: int,
        tokenise_ns: float,
        text: TextStream,
        stops: StopStrings,
        cancel: Callable[[], None],
        seen: Callable[[LiveEvent], None],
    ) -> None:
        self._text, self._stops, self._cancel, self._seen = text, stops, cancel, seen
        self._events: asyncio.Queue[LiveEvent] = asyncio.Queue()
        self._prompt_tokens, self._completion_tokens, self._tokenise_ns = prompt_tokens, 0, tokenise_ns
        self._beginning: Beginning | None = None
        self._open = True

    @property
    def usage(self) -> Usage:
        begun = self._beginning
        if begun is None:
            return Usage(self._prompt_tokens, self._completion_tokens, 0, {})
        timings = {
            "tokenise_ns": self._tokenise_ns,
            "queue_ns": begun.waited_ns,
            "prefill_ns": begun.prefill_ns,
            "sampling_ns": begun.sampling_ns,
        }
        return Usage(self._prompt_tokens, self._completion_tokens, begun.cached_tokens, timings)

    def sink(self, event: LiveEvent) -> None:
        """The engine's thread has brought an event."""
        self._seen(event)
        self._events.put_nowait(event)

    def close(self) -> None:
        """Whoever asked is gone, or has all: what the request holds is free."""
        if self._open:
            self._open = False
            self._cancel()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Until one has a finish reason. Raises Refusal where the answer cannot be gone on with."""
        while self._open:
            event = await self._events.get()
            if event.failure is not None:
                self._open = False
                raise Refusal(event.failure, 500, code="answer_failed")
            piece = self._piece(event)
            if piece.finish_reason is not None:
                self.close()
            yield piece

    def _piece(self, event: LiveEvent) -> Piece:
        self._beginning = event.beginning or self._beginning
        self._completion_tokens += len(event.token_ids)
        text, stopped = self._stops.push("".join(self._text.push(token) for token in event.token_ids))
        if event.finish_reason is not None and not stopped:
            rest, stopped = self._stops.push(self._text.finish())
            text += rest if stopped else rest + self._stops.finish()
        return Piece(text, event.token_ids, event.likelihoods, FinishReason.STOP if stopped else event.finish_reason)
