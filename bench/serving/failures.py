"""Why a request has no answer: kinds that can be counted, with words that say what happened and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass

from attnlab.bench.text import one_line

KINDS = {
    "refused": "nothing listens at the address",
    "unreachable": "the address cannot be found or reached",
    "tls": "no secure connection could be made",
    "disconnected": "the connection ended before the answer did",
    "timeout": "the time limit of a request",
    "http": "a status that is no success; the kind has its number, such as http_429",
    "protocol": "what came is no HTTP",
    "unreadable": "the answer is not of the form that this kind of endpoint has",
    "encoding": "the stream is no UTF-8",
    "server": "the server told an error in mid-stream",
    "cut": "the stream ended without saying that it was at its end",
    "too_large": "an event or an answer beyond the bound of bytes",
    "endless": "far more pieces than tokens were asked for",
    "before": "the turn before it in its conversation has no answer",
    "interrupted": "the load was interrupted while it was under way",
    "client": "the client's own fault",
}
"""Kinds of failure."""


@dataclass(frozen=True, slots=True)
class Failure:
    """kind: one of `KINDS`, of a status with its number behind it; words: one printable line, never with a key."""

    kind: str
    words: str

    def __post_init__(self) -> None:
        if self.kind.partition("_")[0] not in KINDS and self.kind not in KINDS:
            raise ValueError(f"got a failure of kind {self.kind!r}; expected one of {', '.join(KINDS)}")
        object.__setattr__(self, "words", one_line(self.words))

    def __str__(self) -> str:
        return f"{self.kind}: {self.words}"
