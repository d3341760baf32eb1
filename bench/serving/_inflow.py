"""Bytes of answers between the sockets and those who read them: stamped as they come, read when there is time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from aiohttp import StreamReader

from attnlab.bench import units

SLICE_NS = units.NS_PER_MS // 5
MOST_WAITING_BYTES = 4 << 20
Take = Callable[[bytes, int], None]


class Desk:
    """Where bytes wait to be read. Sockets go first: after each fifth of a millisecond of reading they are looked at.

    So a time of arrival is hardly later for what came beside it, though a server sends to all streams at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Inflow, bytes | None, int]] = deque()
        self._called = False

    def put(self, inflow: Inflow, data: bytes | None, at_ns: int) -> None:
        """Bytes that came, or None where no more will."""
        self._waiting.append((inflow, data, at_ns))
        if not self._called:
            self._called = True
            self._loop.call_soon(self._work)

    def read_all(self) -> None:
        """Read what waits, however long it takes."""
        while self._waiting:
            inflow, data, at_ns = self._waiting.popleft()
            inflow.deliver(data, at_ns)

    def _work(self) -> None:
        until_ns = time.perf_counter_ns() + SLICE_NS
        waiting = self._waiting
        while waiting:
            inflow, data, at_ns = waiting.popleft()
            inflow.deliver(data, at_ns)
            if time.perf_counter_ns() > until_ns:
                break
        self._called = bool(waiting)
        if waiting:
            self._loop.call_soon(self._work)


class Inflow:
    """The body of one answer: its bytes as they come out of the socket, each with its time, up to its end.

    head_ns: when the answer's head was whole. ended_ns: when the body ended, None until it did. Memory is bounded:
    beyond 4 MiB that nobody has read yet, aiohttp stops reading from the socket.
    """

    def __init__(self, body: StreamReader, head_ns: int, desk: Desk) -> None:
        self.head_ns = head_ns
        self.ended_ns: int | None = None
        self.error: BaseException | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._body, self._desk = body, desk
        self._take: Take | None = None
        self._held: list[tuple[bytes | None, int]] = []
        self._waiting_bytes = 0
        self._draining = self._closed = False

    def drain(self, at_ns: int) -> None:
        """Take what has come, and see whether it was the last; again where that lets more of it come."""
        if self._draining or self._closed:
            return
        self._draining = True
        body = self._body
        try:
            while self._waiting_bytes < MOST_WAITING_BYTES and body.exception() is None:
                data = body.read_nowait(-1)
                if not data:
                    break
                self._waiting_bytes += len(data)
                self._desk.put(self, data, at_ns)
        finally:
            self._draining = False
        self.error = body.exception()
        if self.error is not None or body.at_eof():
            self._close(at_ns)

    def lost(self, error: BaseException | None, at_ns: int) -> None:
        """The connection is gone: after what came, the end, with what ended it where that was not the answer's own."""
        self.drain(at_ns)
        if not self._closed:
            self.error = error or ConnectionResetError("the connection was closed")
            self._close(at_ns)

    def attach(self, take: Take) -> None:
        """Give all bytes to this, from the first on. What it raises ends the flow, and is raised by `over`."""
        self._take = take
        held, self._held = self._held, []
        for data, at_ns in held:
            self.deliver(data, at_ns)

    def deliver(self, data: bytes | None, at_ns: int) -> None:
        """Called by the desk, in the order in which all came."""
        if self._take is None:
            self._held.append((data, at_ns))
        elif data is not None:
            self._give(self._take, data, at_ns)
        elif not self.over.done():
            self.over.set_result(None)

    def drop(self) -> None:
        """Nobody reads what is to come."""
        self._take, self._closed = _ignore, True
        self._held.clear()
        if self.over.done() and not self.over.cancelled():
            self.over.exception()  # or asyncio would report that nobody asked for it

    def _give(self, take: Take, data: bytes, at_ns: int) -> None:
        full = self._waiting_bytes >= MOST_WAITING_BYTES
        self._waiting_bytes -= len(data)
        if self.over.done():
            return
        try:
            take(data, at_ns)
        except Exception as error:  # noqa: BLE001 - it is raised to who waits for the answer
            self.over.set_exception(error)
            return
        if full:
            self.drain(time.perf_counter_ns())

    def _close(self, at_ns: int) -> None:
        self._closed, self.ended_ns = True, at_ns
        self._desk.put(self, None, at_ns)


def _ignore(data: bytes, at_ns: int) -> None:
    """For what nobody reads."""
