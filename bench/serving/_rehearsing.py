"""A request to a server within this very loop, so that the first one of a load finds all code warm.

Without it the first request of a process goes out several milliseconds late.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from attnlab.bench.serving._asking import Asker, Course
from attnlab.bench.serving.asked import Asked
from attnlab.bench.serving.endpoint import Part, Whole
from attnlab.bench.serving.service import Service

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = HEAD + b"a\r\ndata: {}\n\n\r\n0\r\n\r\n"
TIMES = 2
LIMIT_S = 2.0


class _Any:
    """An endpoint whose every event ends an answer."""

    path, identity_path = "/", None

    def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
        return {"prompt": asked.prompt, "max_tokens": asked.max_tokens, "stream": stream}

    def read_event(self, data: str) -> Part:
        return Part("text", "a", finish_reason="stop")

    def read_whole(self, body: bytes) -> Whole:
        return Whole("a")


async def rehearse() -> None:
    """Where no socket can be had for it, the load begins without."""
    try:
        server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    except OSError:
        return
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Asker(_Any(), Service(url, timeout_s=LIMIT_S), None, True) as asker:
            for number in range(TIMES):
                asked = Asked(number, prompt="a")
                now_ns = time.perf_counter_ns()
                await asker.ask(asked, asker.payload(asked), Course(number, now_ns, now_ns))


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        for _ in range(TIMES):
            head = await reader.readuntil(b"\r\n\r\n")
            size = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
            await reader.readexactly(int(size.partition(b":")[2]))
            writer.write(ANSWER)
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass  # nobody waits for it
    finally:
        writer.close()
