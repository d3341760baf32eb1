"""A server of raw sockets that sends whatever a test wants, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ssl import SSLContext

from .streams import PLAIN

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer(status: str, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


@dataclass
class Exchange:
    """One request as it came, and the socket to answer on; number counts those of one script, from 0."""

    head: str
    body: bytes
    number: int
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def stream(self, chunks: Sequence[bytes], gap_s: float = 0.0, end: bool = True) -> None:
        """A head and each of these as a chunk of HTTP, in a packet of its own."""
        await self.send(HEAD)
        for data in chunks:
            await asyncio.sleep(gap_s)
            await self.send(http_chunk(data))
        if end:
            await self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        """End the connection by RST."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]


async def plain(exchange: Exchange) -> None:
    await exchange.stream(PLAIN)


@dataclass
class Stub:
    """Scripts by the first part of a request's path, and what was asked of each."""

    port: int = 0
    secure_port: int = 0
    scripts: dict[str, Script] = field(default_factory=dict)
    asked: dict[str, list[Exchange]] = field(default_factory=dict)

    def serve(self, name: str, script: Script = plain) -> str:
        """The address of a script."""
        self.scripts[name], self.asked[name] = script, []
        return f"http://127.0.0.1:{self.port}/{name}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first = await reader.readexactly(1)
                if first == b"\x16":  # a client that says hello by TLS
                    writer.write(answer("400 Bad Request", b"no HTTP"))
                    return
                head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head.lower().splitlines()
                size = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)
                body = await reader.readexactly(size)
                name = head.split(" ")[1].split("/")[1]
                asked = self.asked.setdefault(name, [])
                asked.append(Exchange(head, body, len(asked), writer))
                await self.scripts[name](asked[-1])
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client is gone, or the stub is closed
        finally:
            writer.close()


class StubServer:
    """The stub in its thread."""

    def __init__(self, context: SSLContext | None = None, port: int = 0) -> None:
        self.stub = Stub()
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stub", daemon=True)
        self._thread.start()
        self.stub.port = self.call(self._open(None, port))
        if context is not None:
            self.stub.secure_port = self.call(self._open(context, 0))

    async def _open(self, context: SSLContext | None, port: int) -> int:
        server = await asyncio.start_server(self.stub.handle, "127.0.0.1", port, ssl=context, backlog=1024)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def call(self, work: Awaitable[int]) -> int:
        async def run() -> int:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def close(self) -> None:
        async def stop() -> int:
            for server in self._servers:
                server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return 0

        self.call(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
