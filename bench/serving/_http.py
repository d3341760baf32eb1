"""HTTP by aiohttp, with the time at which the bytes of each answer came out of their socket.

aiohttp hands a body to a coroutine, which runs when others have: under load that is later than the bytes came. Its
protocol is extended here to stamp them. `ResponseHandler` and the connector's factory of it are no public interface of
aiohttp: `open_session` looks whether they are there, and the tests hold them against what is expected.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from attnlab.bench.errors import MeasurementError, ServiceError
from attnlab.bench.serving._inflow import Desk, Inflow
from attnlab.bench.serving.service import Service

FIRST_FINAL_STATUS = 200
IDLE_S = 4.0
"""How long a connection waits for its next request. Servers close idle ones, uvicorn after 5 s; a request that goes out
at that very moment would fail for nothing that the server did."""


@dataclass
class Steps:
    """When the steps of one attempt were taken, by `time.perf_counter_ns`; aiohttp's tracing fills it in."""

    sent_ns: int | None = None
    connected_ns: int | None = None
    connecting_ns: int = 0
    begun: dict[str, int] = field(default_factory=dict)


class StampingHandler(ResponseHandler):
    """A connection that knows when its bytes came."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.inflow: Inflow | None = None
        self._desk = desk
        self._now_ns = 0

    def data_received(self, data: bytes) -> None:
        if data:  # none where aiohttp goes on with what it had kept back
            self._now_ns = time.perf_counter_ns()
        super().data_received(data)
        if self.inflow is not None:
            self.inflow.drain(self._now_ns)

    def resume_reading(self, *arguments: Any, **named: Any) -> None:
        """aiohttp calls it with every read, and looks for what it had kept back, which there is only after a pause."""
        if self._reading_paused:
            super().resume_reading(*arguments, **named)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """aiohttp has the head of an answer; one below 200 is followed by the one that counts."""
        message, body = data
        if message.code >= FIRST_FINAL_STATUS:
            self.inflow = Inflow(body, self._now_ns, self._desk)
        super().feed_data(data, size)

    def connection_lost(self, exc: BaseException | None) -> None:
        now_ns = time.perf_counter_ns()
        super().connection_lost(exc)
        if self.inflow is not None:
            self.inflow.lost(exc, now_ns)


class StampedResponse(aiohttp.ClientResponse):
    """An answer with its inflow."""

    inflow: Inflow | None = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol = connection.protocol
        await super().start(connection)
        self.inflow = protocol.inflow if isinstance(protocol, StampingHandler) else None
        return self


def open_session(service: Service, desk: Desk) -> aiohttp.ClientSession:
    """A session with connections as the service asks for them; it keeps no cookies and takes nothing of the
    environment, such as a proxy. Raises ServiceError where ca_file cannot be read."""
    connector = aiohttp.TCPConnector(
        limit=service.sockets or 0,
        force_close=not service.keep_alive,
        keepalive_timeout=IDLE_S if service.keep_alive else None,
        ssl=_context(service),
        ttl_dns_cache=None,
    )
    if not (hasattr(connector, "_factory") and hasattr(ResponseHandler, "_reading_paused")):
        raise MeasurementError(
            f"aiohttp {aiohttp.__version__} makes connections in another way than 3.14 does, and arrivals cannot be "
            "timed; install aiohttp below 4"
        )
    factory: Any = functools.partial(StampingHandler, desk, asyncio.get_running_loop())
    connector._factory = factory
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        response_class=StampedResponse,
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        trace_configs=[_tracing()],
        trust_env=False,
        skip_auto_headers=("User-Agent",),
    )


def headers_for(service: Service, stream: bool) -> dict[str, str]:
    """The headers of each request but the key."""
    return {
        "Accept": "text/event-stream" if stream else "application/json",
        "Accept-Encoding": "gzip, deflate" if service.compression else "identity",
        "Content-Type": "application/json",
        "User-Agent": "attnlab",
        **service.headers,
    }


def _context(service: Service) -> ssl.SSLContext | bool:
    if not service.url.startswith("https:"):
        return True
    if not service.verify_tls:
        return False
    if service.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=service.ca_file)
    except OSError as error:
        raise ServiceError(
            f"{service.ca_file}: the certificates of ca_file cannot be read ({error.strerror or 'they are no PEM'}); "
            "give a PEM file"
        ) from None


def _tracing() -> aiohttp.TraceConfig:
    """What fills in `Steps`, which each request gives as its context."""

    async def begin(_: aiohttp.ClientSession, context: SimpleNamespace, parameters: object) -> None:
        _steps(context).begun["connection"] = time.perf_counter_ns()

    async def end(_: aiohttp.ClientSession, context: SimpleNamespace, parameters: object) -> None:
        steps, now_ns = _steps(context), time.perf_counter_ns()
        steps.connecting_ns += now_ns - steps.begun.pop("connection", now_ns)

    async def connected(session: aiohttp.ClientSession, context: SimpleNamespace, parameters: object) -> None:
        await end(session, context, parameters)
        _steps(context).connected_ns = time.perf_counter_ns()

    async def sent(_: aiohttp.ClientSession, context: SimpleNamespace, parameters: object) -> None:
        steps = _steps(context)
        if steps.sent_ns is None:
            steps.sent_ns = time.perf_counter_ns()

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_queued_start.append(begin)
    tracing.on_connection_queued_end.append(end)
    tracing.on_connection_create_start.append(begin)
    tracing.on_connection_create_end.append(connected)
    tracing.on_request_chunk_sent.append(sent)
    return tracing


def _steps(context: SimpleNamespace) -> Steps:
    steps = context.trace_request_ctx
    assert isinstance(steps, Steps)
    return steps
