"""Connections that are bounded: in number, in what they send before they ask, and in how long they ask nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from attnlab.bench.server.refusal import Refusal
from attnlab.bench.server.sending import ABORT
from attnlab.bench.server.settings import ServerLimits

HEADER_BYTES = 32 * 1024  # of a request's line and headers together
LEAST_WAIT_S = 0.1


def bounded_protocol(limits: ServerLimits) -> type[H11Protocol]:
    """uvicorn's protocol for HTTP/1.1, within `limits`."""
    return type("BoundedProtocol", (_BoundedProtocol,), {"limits": limits})


class _BoundedProtocol(H11Protocol):
    limits: ServerLimits

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._application: Any = self.app
        self.app: Any = self._serve
        self.quiet_since_s = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.limits.connections:
            self._make_room()
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.limits.idle_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self.quiet_since_s = time.monotonic()
        super().on_response_complete()

    @property
    def asks_nothing(self) -> bool:
        """Whether no request is there whole."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body

    def send_400_response(self, msg: str) -> None:
        body = Refusal("this is no HTTP request, or its headers are too long", code="invalid_http").body()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        try:
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # an answer is under way
            self.transport.abort()
        self.transport.close()

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"] = {**scope.get("extensions", {}), ABORT: self.transport.abort}
        await self._application(scope, receive, send)

    def _look(self) -> None:
        """Close a connection that has asked nothing for too long."""
        left_s = self.limits.idle_s
        if self.asks_nothing:
            left_s -= time.monotonic() - self.quiet_since_s
        if left_s <= 0:
            self.transport.abort()
            return
        self._timer = self.loop.call_later(max(left_s, LEAST_WAIT_S), self._look)

    def _make_room(self) -> None:
        """Close the connection that has asked nothing for longest."""
        quiet = [one for one in self.connections if isinstance(one, _BoundedProtocol) and one.asks_nothing]
        if quiet:
            oldest = min(quiet, key=lambda one: one.quiet_since_s)
            self.connections.discard(oldest)
            oldest.transport.abort()
