"""The paths of the server, as an ASGI application."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from attnlab.bench.server.refusal import Refusal, internal
from attnlab.bench.server.sending import StreamedAnswer, WholeAnswer
from attnlab.bench.server.service import Service
from attnlab.bench.server.wanted import Kind, read_wanted

JSON = "application/json"


def application(service: Service) -> Starlette:
    """Serves while its lifespan lasts."""
    begun_s = int(time.time())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.stop()

    def answer(kind: Kind) -> Callable[[Request], Awaitable[Response]]:
        async def answered(request: Request) -> Response:
            wanted = read_wanted(kind, await _body(request, service.limits.body_bytes))
            begun = await service.begin(wanted)
            sent = StreamedAnswer if wanted.stream else WholeAnswer
            return sent(begun, wanted, service.limits)

        return answered

    async def models(request: Request) -> Response:
        model, context = service.model, service.engine.limits.context_tokens
        entry = {"id": model.name, "object": "model", "created": begun_s, "owned_by": "attnlab"}
        facts = {"max_model_len": context, "attnlab": model.facts}
        return _json({"object": "list", "data": [{**entry, **facts}]})

    async def health(request: Request) -> Response:
        if service.draining or not service.engine.alive:
            return _json({"status": "ending"}, 503)
        return _json({"status": "ok"})

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    def refuse(refusal: Refusal, headers: Mapping[str, str]) -> Response:
        service.metrics.refused.labels(str(refusal.status)).inc()
        return Response(refusal.body(), refusal.status, {**refusal.headers, **headers}, JSON)

    async def refused(request: Request, error: Exception) -> Response:
        return refuse(error if isinstance(error, Refusal) else internal(), {})

    async def not_served(request: Request, error: Any) -> Response:
        """A path or a method that there is not."""
        return refuse(_of_http(error.status_code, str(error.detail)), error.headers or {})

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it

    return Starlette(
        routes=[
            Route("/v1/chat/completions", answer("chat"), methods=["POST"]),
            Route("/v1/completions", answer("completion"), methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        exception_handlers={Refusal: refused, HTTPException: not_served, ClientDisconnect: gone, Exception: refused},
        lifespan=lifespan,
    )


async def _body(request: Request, most_bytes: int) -> bytes:
    """Raises Refusal where a body is longer, as soon as that is known."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most_bytes:
        raise _too_long(most_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most_bytes:
            raise _too_long(most_bytes)
    return bytes(body)


def _too_long(most_bytes: int) -> Refusal:
    return Refusal(f"the body is too long; expected at most {most_bytes} bytes", 413, code="body_too_long")


def _of_http(status: int, detail: str) -> Refusal:
    if status == 404:
        known = "/v1/chat/completions, /v1/completions, /v1/models, /health or /metrics"
        return Refusal(f"there is nothing at this path; expected {known}", 404, code="unknown_path")
    if status == 405:
        return Refusal("this method is not served at this path", 405, code="method_not_allowed")
    return Refusal(detail, status)


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type=JSON)
