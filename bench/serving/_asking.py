"""One request over HTTP: sent, read as it comes, tried again where that was asked for, and never lost."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
from dataclasses import dataclass, field

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from attnlab.bench.errors import ServiceError
from attnlab.bench.serving._failing import failure_of, failure_of_status, not_an_answer, out_of_time, retry_after_s
from attnlab.bench.serving._http import StampedResponse, Steps, headers_for, open_session
from attnlab.bench.serving._inflow import Desk, Inflow
from attnlab.bench.serving.asked import Asked
from attnlab.bench.serving.endpoint import Endpoint
from attnlab.bench.serving.failures import Failure
from attnlab.bench.serving.reading import Answer, AnswerFailed, Reading
from attnlab.bench.serving.secret import Key
from attnlab.bench.serving.service import Service

LARGE_BYTES = 1 << 20  # of a body beyond which aiohttp wants to send it piece by piece
ERROR_S = 1.0  # how long the text of an error is waited for
AFTER_DONE_S = 0.25  # how long the end of a body is waited for when the answer's own end has come


@dataclass
class Course:
    """A request as it goes; times by `time.perf_counter_ns`. It is kept from its beginning on, whatever happens."""

    number: int
    due_ns: int
    begun_ns: int
    prompt_tokens: int | None = None
    steps: Steps = field(default_factory=Steps)
    headers_ns: int | None = None
    ended_ns: int | None = None
    status: int | None = None
    attempts: int = 0
    retried: list[Failure] = field(default_factory=list)
    failure: Failure | None = None
    answer: Answer = field(default_factory=Answer)
    wait_s: float | None = None
    process: int = 0

    def fail(self, failure: Failure) -> None:
        self.failure, self.ended_ns = failure, time.perf_counter_ns()


class Asker:
    """Asks one service, within one event loop. Use it as a context, which holds the connections."""

    def __init__(self, endpoint: Endpoint, service: Service, key: Key | None, stream: bool) -> None:
        self._endpoint, self._service, self._key, self._stream = endpoint, service, key, stream
        self._url = URL(service.address(endpoint.path))
        self._headers = headers_for(service, stream)
        if key is not None:
            self._headers |= key.header(service.key_header)

    async def __aenter__(self) -> Asker:
        self.desk = Desk(asyncio.get_running_loop())
        self._session = open_session(self._service, self.desk)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await asyncio.sleep(0)  # transports close in the loop's next turn

    def payload(self, asked: Asked) -> bytes:
        """The body of a request. Made ahead where it can be, for long prompts take time to write.

        Raises ServiceError where the endpoint, or a field that the service puts over it, asks something else.
        """
        body = self._service.body(self._endpoint.body(asked, self._service, self._stream))
        payload = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        if not _asks(payload, asked):
            raise ServiceError(
                f"the body of request {asked.number} does not hold its prompt; expected all its messages, its text or "
                "its ids in it: mend the endpoint's body, or the extra fields of the service"
            )
        if not re.search(rf":{asked.max_tokens}[,}}\]]", payload):
            raise ServiceError(
                f"the body of request {asked.number} does not ask for {asked.max_tokens} tokens; expected that number "
                "as one of its fields: mend the endpoint's body, or the extra fields of the service"
            )
        return payload.encode()

    async def ask(self, asked: Asked, payload: bytes, course: Course) -> None:
        """Fill in the course of a request, to its end. Raises CancelledError alone."""
        retries = self._service.retries
        while True:
            course.attempts += 1
            failure = await self._attempt(asked, payload, course)
            if failure is None:
                return
            failure = Failure(failure.kind, self.cleaned(failure.words))
            again = course.attempts <= retries.times and failure.kind in retries.kinds and not course.answer.began
            if not again:
                course.failure = failure
                return
            course.retried.append(failure)
            await asyncio.sleep(retries.wait_s(course.attempts, course.wait_s))
            course.steps, course.answer, course.headers_ns = Steps(), Answer(), None
            course.status = course.wait_s = course.ended_ns = None

    def cleaned(self, words: str) -> str:
        """Words without the key."""
        return words if self._key is None else self._key.out_of(words)

    async def _attempt(self, asked: Asked, payload: bytes, course: Course) -> Failure | None:
        reading = Reading(self._endpoint, self._service.limits, asked.max_tokens)
        course.answer = reading.answer
        try:
            async with asyncio.timeout(self._service.timeout_s):
                await self._exchange(payload, course, reading)
        except TimeoutError:
            if course.answer.ended:  # and only the connection stayed open
                return None
            failure = out_of_time(self._service, _pieces(course), course.steps.sent_ns is not None)
        except AnswerFailed as failed:
            failure = failed.failure
        except (aiohttp.ClientError, OSError, http_exceptions.HttpProcessingError) as error:
            failure = failure_of(error, self._service, _pieces(course))
        else:
            return None
        course.ended_ns = time.perf_counter_ns()
        return failure

    async def _exchange(self, payload: bytes, course: Course, reading: Reading) -> None:
        body = payload if len(payload) <= LARGE_BYTES else io.BytesIO(payload)
        response = await self._session.post(
            self._url, data=body, headers=self._headers, allow_redirects=False, trace_request_ctx=course.steps
        )
        assert isinstance(response, StampedResponse)
        inflow = response.inflow
        assert inflow is not None
        try:
            course.headers_ns, course.status = inflow.head_ns, response.status
            await self._read(response, inflow, course, reading)
        finally:
            inflow.drop()
            response.close()  # the connection is kept where the body was read to its end

    async def _read(self, response: StampedResponse, inflow: Inflow, course: Course, reading: Reading) -> None:
        limits = self._service.limits
        if response.status >= 300:
            body = await _whole(inflow, limits.error_bytes, ERROR_S)
            course.wait_s = retry_after_s(response.headers)
            raise AnswerFailed(failure_of_status(response.status, response.headers, body, self._service))
        kind = response.content_type
        if kind in ("text/html", "application/xhtml+xml"):
            wanted = "text/event-stream" if self._stream else "JSON"
            raise AnswerFailed(not_an_answer(kind, await _whole(inflow, limits.error_bytes, ERROR_S), wanted))
        if self._stream and kind != "application/json":
            await self._follow(inflow, course, reading)
            return
        body = await _whole(inflow, limits.answer_bytes)
        course.ended_ns = inflow.ended_ns
        if inflow.error is not None:
            raise AnswerFailed(failure_of(inflow.error, self._service))
        reading.whole(body, inflow.ended_ns or time.perf_counter_ns())

    async def _follow(self, inflow: Inflow, course: Course, reading: Reading) -> None:
        """Read a stream to its end: the body's, or a moment after the answer's own."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def take(data: bytes, at_ns: int) -> None:
            reading.feed(data, at_ns)
            course.ended_ns = at_ns
            if reading.answer.done and not done.done():
                done.set_result(None)

        inflow.attach(take)
        await asyncio.wait((inflow.over, done), return_when=asyncio.FIRST_COMPLETED)
        if not inflow.over.done():
            await asyncio.wait((inflow.over,), timeout=AFTER_DONE_S)
        if inflow.over.done():
            inflow.over.result()
        if inflow.error is not None and not reading.answer.ended:
            raise AnswerFailed(failure_of(inflow.error, self._service, _pieces(course)))
        reading.end()


def _asks(payload: str, asked: Asked) -> bool:
    """Whether a body holds the prompt of a request in one of its forms: a shorter one would be another measurement."""
    told = [message.text for message in asked.messages]
    if told and all(_written(text) in payload for text in told):
        return True
    if asked.prompt and _written(asked.prompt) in payload:
        return True
    if asked.prompt_ids:
        return ",".join(map(str, asked.prompt_ids)) in payload
    return not told and not asked.prompt


def _written(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


async def _whole(inflow: Inflow, most_bytes: int, most_s: float | None = None) -> bytes:
    """The whole body, or as much of it as is wanted at most, or as came in time; what ended it is not told here."""
    parts: list[bytes] = []
    enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    size = 0

    def take(data: bytes, at_ns: int) -> None:
        nonlocal size
        size += len(data)
        parts.append(data)
        if size > most_bytes and not enough.done():
            enough.set_result(None)

    inflow.attach(take)
    await asyncio.wait((inflow.over, enough), timeout=most_s, return_when=asyncio.FIRST_COMPLETED)
    return b"".join(parts)[: most_bytes + 1]


def _pieces(course: Course) -> int:
    return sum(map(bool, course.answer.pieces))
