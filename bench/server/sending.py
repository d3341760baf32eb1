"""Sends an answer, in pieces or whole, while it is watched whether anybody is still there to read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from attnlab.bench.server.refusal import Refusal
from attnlab.bench.server.service import Begun
from attnlab.bench.server.settings import ServerLimits
from attnlab.bench.server.shapes import DONE, error_event
from attnlab.bench.server.wanted import Wanted

STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
ABORT = "attnlab.abort"
"""An extension of the ASGI scope: a function that drops the connection with all that it has not sent."""


class WatchedAnswer(Response):
    """An answer that ends where its reader goes away or takes nothing for too long."""

    def __init__(self, begun: Begun, wanted: Wanted, limits: ServerLimits) -> None:
        self.begun, self.wanted, self.limits = begun, wanted, limits
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        abort: Callable[[], None] | None = scope.get("extensions", {}).get(ABORT)
        gone, sent = asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(self._send(send))
        try:
            await asyncio.wait((gone, sent), return_when=asyncio.FIRST_COMPLETED)
            if sent.done():
                sent.result()
        except TimeoutError:  # of a reader that takes nothing
            if abort is not None:
                abort()
        finally:
            self.begun.answering.close()
            gone.cancel()
            sent.cancel()
            await asyncio.gather(gone, sent, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        raise NotImplementedError


class StreamedAnswer(WatchedAnswer):
    """Server-sent events, one for each token that brought something."""

    async def _send(self, send: Send) -> None:
        answering, shape, wanted = self.begun.answering, self.begun.shape, self.wanted
        await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        opening = shape.opening()
        shows_all = wanted.token_ids or wanted.logprobs is not None or wanted.usage_always
        try:
            async for piece in answering.pieces():
                usage = answering.usage if wanted.usage_always else None
                events = [shape.chunk(opening, usage)] if opening else []
                opening = []
                if piece.text or piece.finish_reason is not None or shows_all:
                    events.append(shape.chunk([shape.piece(piece)], usage))
                await self._write(send, b"".join(events))
        except Refusal as refusal:
            await self._write(send, error_event(refusal))
        else:
            last = [shape.chunk([], answering.usage)] if wanted.usage else []
            await self._write(send, b"".join([*last, DONE]))
        await send({"type": "http.response.body", "body": b""})

    async def _write(self, send: Send, content: bytes) -> None:
        """Raises TimeoutError where nobody takes it."""
        if content:
            async with asyncio.timeout(self.limits.write_s):
                await send({"type": "http.response.body", "body": content, "more_body": True})


class WholeAnswer(WatchedAnswer):
    """One JSON object, when all is there."""

    async def _send(self, send: Send) -> None:
        answering, shape = self.begun.answering, self.begun.shape
        try:
            pieces = [piece async for piece in answering.pieces()]
            status, body = 200, shape.whole(pieces, answering.usage, self.begun.prompt_ids)
        except Refusal as refusal:
            status, body = refusal.status, refusal.body()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        async with asyncio.timeout(self.limits.write_s):
            await send({"type": "http.response.body", "body": body})


async def _gone(receive: Receive) -> None:
    """Until the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
