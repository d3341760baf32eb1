"""Answers as OpenAI's interface has them: chats and completions, whole or in pieces."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from attnlab.bench.llm.generation.live import Likelihood
from attnlab.bench.server.answering import Piece, Usage
from attnlab.bench.server.refusal import Refusal

DONE = b"data: [DONE]\n\n"


class Spelling(Protocol):
    """The bytes that a token stands for."""

    def token_bytes(self, index: int) -> bytes: ...


@dataclass(frozen=True)
class Shape:
    """What the pieces of one answer share. shows_ids: whether the ids of the tokens are told."""

    id: str
    model: str
    spelling: Spelling
    shows_ids: bool = False
    created: int = field(default_factory=lambda: int(time.time()))

    object = ""
    chunk_object = ""

    def opening(self) -> list[dict[str, Any]]:
        """What a stream begins with, when the first token is there."""
        return []

    def piece(self, piece: Piece) -> dict[str, Any]:
        raise NotImplementedError

    def choice(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        """The answer of a whole."""
        raise NotImplementedError

    def chunk(self, choices: list[dict[str, Any]], usage: Usage | None = None) -> bytes:
        """One event of a stream."""
        return event({**self._head(self.chunk_object), "choices": choices, **_usage_field(usage)})

    def whole(self, pieces: Sequence[Piece], usage: Usage, prompt_ids: Sequence[int]) -> bytes:
        choice = self.choice(pieces)
        ids = {"prompt_token_ids": list(prompt_ids)} if self.shows_ids else {}
        return msgspec.json.encode({**self._head(self.object), "choices": [choice], **_usage_field(usage), **ids})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _ids(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        return {"token_ids": [token for piece in pieces for token in piece.token_ids]} if self.shows_ids else {}

    def _told(self, pieces: Sequence[Piece]) -> list[tuple[int, Likelihood]]:
        return [pair for piece in pieces for pair in zip(piece.token_ids, piece.likelihoods, strict=False)]


class ChatShape(Shape):
    """`/v1/chat/completions`."""

    object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def opening(self) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]

    def piece(self, piece: Piece) -> dict[str, Any]:
        delta = {"content": piece.text} if piece.text or piece.token_ids else {}
        end = {"finish_reason": piece.finish_reason}
        return {"index": 0, "delta": delta, **self._logprobs([piece]), **end, **self._ids([piece])}

    def choice(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(piece.text for piece in pieces)}
        end = {"finish_reason": pieces[-1].finish_reason}
        return {"index": 0, "message": message, **self._logprobs(pieces), **end, **self._ids(pieces)}

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        told = [
            {**self._entry(token, one.log), "top_logprobs": [self._entry(*pair) for pair in one.likeliest]}
            for token, one in self._told(pieces)
        ]
        return {"logprobs": {"content": told} if told else None}

    def _entry(self, token: int, log: float) -> dict[str, Any]:
        content = self.spelling.token_bytes(token)
        return {"token": content.decode(errors="replace"), "logprob": log, "bytes": list(content)}


class CompletionShape(Shape):
    """`/v1/completions`."""

    object = "text_completion"
    chunk_object = "text_completion"

    def piece(self, piece: Piece) -> dict[str, Any]:
        return self.choice([piece])

    def choice(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        text, end = "".join(piece.text for piece in pieces), pieces[-1].finish_reason
        return {"index": 0, "text": text, **self._logprobs(pieces), "finish_reason": end, **self._ids(pieces)}

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        told = self._told(pieces)
        if not told:
            return {"logprobs": None}
        likeliest = [{self._spelt(token): log for token, log in one.likeliest} for _, one in told]
        return {
            "logprobs": {
                "tokens": [self._spelt(token) for token, _ in told],
                "token_logprobs": [one.log for _, one in told],
                "top_logprobs": likeliest if any(likeliest) else None,
            }
        }

    def _spelt(self, token: int) -> str:
        return self.spelling.token_bytes(token).decode(errors="replace")


def event(content: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + msgspec.json.encode(content) + b"\n\n"


def error_event(refusal: Refusal) -> bytes:
    """What a stream says where its answer cannot be gone on with: the status has been sent."""
    return b"data: " + refusal.body() + b"\n\n"


def _usage_field(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    return {
        "usage": {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "total_tokens": usage.prompt + usage.completion,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
        },
        "timings": dict(usage.timings),
    }
