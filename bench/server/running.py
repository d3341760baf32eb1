"""Runs the server: a socket of its own, signals, and an end that lets answers end first."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import uvicorn

from attnlab.bench.errors import UsageError
from attnlab.bench.server.app import application
from attnlab.bench.server.connections import HEADER_BYTES, bounded_protocol
from attnlab.bench.server.parent import ParentWatch
from attnlab.bench.server.service import Service

BACKLOG = 1024
SEND_BYTES = 2**16  # that the system keeps for a reader that is slow
ANNOUNCED = "attnlab_serve"
AFTER_GRACE_S = 2  # for the words that answers are ended with
OWN_FILES = 64
SWITCH_S = 0.0005  # the engine's thread must not keep the loop from sending what it has made


@dataclass(frozen=True)
class Place:
    """Where the server is found."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; port 0 for any that is free. Raises UsageError where it cannot be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, proto)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        made.bind(address)
        made.listen(BACKLOG)
    except (OSError, UnicodeError, OverflowError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot listen on {host} port {port}: {words}; expected a free port, or 0 for any") from None
    return made


def announce(place: Place, model: str) -> None:
    """One line for the process that started this one."""
    told = {"url": place.url, "model": model, "pid": os.getpid()}
    print(json.dumps({ANNOUNCED: told}), flush=True)


class _Server(uvicorn.Server):
    """Tells where it listens, and lets answers end when it is told to end."""

    def __init__(self, config: uvicorn.Config, service: Service, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._started = service, started

    def end(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.draining = True
        reason = "the server is ending"
        late = asyncio.get_running_loop().call_later(
            self._service.limits.grace_s, self._service.engine.fail_all, reason
        )
        await super().shutdown(sockets)
        late.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the server; to whoever waits for it this is no failure."""
        numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def server_of(service: Service, bound: socket.socket, told: Callable[[Place], None]) -> uvicorn.Server:
    """A server that answers on a socket once `serve(sockets=[bound])` runs, until its `should_exit` is set.

    told: called when requests are answered.
    """
    limits = replace(service.limits, connections=min(service.limits.connections, _most_connections()))
    service.limits = limits
    config = uvicorn.Config(
        application(service),
        http=bounded_protocol(limits),
        ws="none",
        loop="asyncio",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(limits.idle_s),
        timeout_graceful_shutdown=int(limits.grace_s) + AFTER_GRACE_S,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    host, port = bound.getsockname()[:2]
    server = _Server(config, service, lambda: told(Place(host, port)))
    service.engine.ended = server.end
    return server


def serve(
    service: Service, bound: socket.socket, told: Callable[[Place], None], parent: ParentWatch | None = None
) -> bool:
    """Answer until told to end -> whether it ended as told, and not because the engine failed.

    parent: end when that is gone.
    """
    sys.setswitchinterval(SWITCH_S)
    server = server_of(service, bound, told)

    def end() -> None:
        server.should_exit = True

    if parent is not None:
        parent.then(end)
    try:
        asyncio.run(server.serve(sockets=[bound]))
    finally:
        if parent is not None:
            parent.close()
    return not service.engine.failed


def _most_connections() -> int:
    """Open files that there may be, less those that the process needs itself; the limit is raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return max(16, soft - OWN_FILES) if soft != resource.RLIM_INFINITY else 2**20
