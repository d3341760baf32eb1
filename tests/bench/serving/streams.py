"""Streams as servers write them, for tests: events of each kind, and how they are fed to a reader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attnlab.bench.serving import openai
from attnlab.bench.serving.asked import Asked
from attnlab.bench.serving.endpoint import Part, Whole
from attnlab.bench.serving.reading import Answer, AnswerFailed, Reading
from attnlab.bench.serving.service import Limits, Service


class Chat:
    """An endpoint of OpenAI's kind."""

    path = "/v1/chat/completions"
    identity_path = "/v1/models"

    def body(self, asked: Asked, service: Service, stream: bool) -> dict[str, Any]:
        made: dict[str, Any] = {
            "messages": [{"role": one.role, "content": one.text} for one in asked.messages],
            "max_tokens": asked.max_tokens,
            "stream": stream,
        }
        return {**made, "model": service.model} if service.model else made

    def read_event(self, data: str) -> Part:
        return openai.read_chat_event(data)

    def read_whole(self, body: bytes) -> Whole:
        return openai.read_chat_whole(body)


def event(found: Any) -> bytes:
    return f"data: {found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)}\n\n".encode()


def delta(finish: str | None = None, ids: Sequence[int] | None = None, **fields: Any) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": fields, "finish_reason": finish}
    if ids is not None:
        choice["token_ids"] = list(ids)
    return event({"object": "chat.completion.chunk", "model": "m", "choices": [choice]})


def usage(prompt: int, completion: int, cached: int | None = None) -> bytes:
    counts: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
    if cached is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": cached}
    return event({"model": "m", "choices": [], "usage": counts})


DONE = event("[DONE]")
ROLE = delta(role="assistant", content="")
PLAIN = [ROLE, delta(content="Hel"), delta(content="lo"), delta("length"), usage(9, 2), DONE]


def read(stream: Sequence[bytes], max_tokens: int = 16, limits: Limits | None = None) -> tuple[Answer, str | None]:
    """The answer that a stream gives, its chunks 10 ns apart from 10 on, and the kind and words of its failure."""
    reading = Reading(Chat(), limits or Limits(), max_tokens)
    try:
        for place, data in enumerate(stream, 1):
            reading.feed(data, 10 * place)
        reading.end()
    except AnswerFailed as failed:
        return reading.answer, str(failed.failure)
    return reading.answer, None
