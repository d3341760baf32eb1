"""What the chunks of one answer mean: bytes as they come, with their times, become events, texts and an end.

Pure: no socket and no clock. Tokens are counted later (`counting`), so that no tokenizer runs while others wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from attnlab.bench.serving.endpoint import PIECES, Endpoint, Kind, Part, UnreadableAnswer, Usage, Whole
from attnlab.bench.serving.failures import Failure
from attnlab.bench.serving.service import Limits
from attnlab.bench.serving.sse import Event, Parser, StreamError
from attnlab.bench.text import one_line, reason_of

FEW_PIECES = 64
"""Pieces that any answer may have, whatever number of tokens it was asked for."""


class AnswerFailed(Exception):
    """An answer that is none; carries the failure."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


@dataclass
class Answer:
    """What came of one answer so far, event by event in columns of one length.

    pieces: the text that each event brought, reasoning first; "" of those without. said: how many tokens it held, where
    the server said it. ids: all tokens, None once an event with a piece came without them. ending: the place of the
    event that gave the finish reason; blanks: those of events with an empty piece within the answer, such as while a
    character of several tokens is not whole. began: whether a piece came.
    """

    times_ns: list[int] = field(default_factory=list)
    sizes_bytes: list[int] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    said: list[int | None] = field(default_factory=list)
    ids: list[int] | None = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in PIECES})
    finish_reason: str | None = None
    ending: int | None = None
    blanks: list[int] = field(default_factory=list)
    usage: Usage | None = None
    model: str | None = None
    done: bool = False
    streamed: bool = True
    began: bool = False

    @property
    def ended(self) -> bool:
        """Whether the server said that it was at its end."""
        return self.done or self.finish_reason is not None

    def text(self, kind: Kind) -> str:
        return "".join(self.texts[kind])

    def add(self, part: Part, at_ns: int, size_bytes: int) -> None:
        """One event more."""
        piece = part.piece
        kind: Kind = part.kind
        if not (piece or part.ids or self.began):  # an answer begins with what can be seen of it, not with a number
            part = part._replace(tokens=None)
        if kind in PIECES and not piece and not part.tokens and not part.ids:
            if self.began and part.finish_reason is None:
                self.blanks.append(len(self.times_ns))
            kind = "other" if self.began else "role"
        if part.finish_reason is not None:
            self.finish_reason, self.ending = part.finish_reason, len(self.times_ns)
        if part.usage is not None:
            self.usage = part.usage if self.usage is None else self.usage.with_later(part.usage)
        self.model = part.model or self.model
        self.done = self.done or kind == "done"
        said = part.tokens if part.ids is None else len(part.ids)
        if part.ids is not None and self.ids is not None:
            self.ids += part.ids
        elif piece:
            self.ids = None
        if piece:
            self.began = True
            self.texts["tool" if kind == "tool" else "text"].append(part.text)
            self.texts["reasoning"].append(part.reasoning)
        self.times_ns.append(at_ns)
        self.sizes_bytes.append(size_bytes)
        self.kinds.append(kind)
        self.pieces.append(piece)
        self.said.append(said)


class Reading:
    """Reads one answer. Raises AnswerFailed where it is none; what came until then stays in `answer`.

    max_tokens: as asked. A stream with more than `limits.pieces_a_token` times as many pieces never ends by itself.
    """

    def __init__(self, endpoint: Endpoint, limits: Limits, max_tokens: int) -> None:
        self.answer = Answer()
        self._endpoint, self._limits = endpoint, limits
        self._most_pieces = FEW_PIECES + limits.pieces_a_token * max_tokens
        self._parser = Parser(limits.event_bytes)
        self._bytes = 0
        self._pieces = 0

    def feed(self, data: bytes, at_ns: int) -> None:
        """Bytes of a stream that came out of the socket at that time."""
        self._weigh(len(data))
        try:
            events = self._parser.feed(data)
        except StreamError as error:
            for event in error.events:
                self._take(event, at_ns)
            raise AnswerFailed(Failure(error.kind, str(error))) from None
        for event in events:
            self._take(event, at_ns)

    def end(self) -> None:
        """The stream is at its end; raises AnswerFailed where it was cut off."""
        if not self.answer.ended:
            came = sum(map(bool, self.answer.pieces))
            raise AnswerFailed(
                Failure(
                    "cut",
                    f"the stream ended after {came} pieces of the answer without a finish reason or a mark of the end; "
                    "expected one of both: see the server's log",
                )
            )

    def whole(self, body: bytes, at_ns: int) -> None:
        """An answer that was not streamed, which came at that time."""
        self._weigh(len(body))
        try:
            found = self._endpoint.read_whole(body)
        except UnreadableAnswer as error:
            raise AnswerFailed(Failure("unreadable", str(error))) from None
        except Exception as error:  # noqa: BLE001 - an endpoint is foreign code
            raise AnswerFailed(Failure("client", f"the endpoint's read_whole raised {reason_of(error)}")) from None
        self._put(found, at_ns, len(body))

    def _put(self, found: Whole, at_ns: int, size_bytes: int) -> None:
        kind: Kind = "text" if found.text else "tool" if found.tool else "reasoning"
        text = found.text or found.tool
        part = Part(kind, text, found.reasoning, None, found.ids, found.finish_reason, found.usage, None, found.model)
        self.answer.add(part, at_ns, size_bytes)
        if found.text and found.tool:
            self.answer.texts["tool"].append(found.tool)
        self.answer.streamed, self.answer.done = False, True

    def _weigh(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        if self._bytes > self._limits.answer_bytes:
            most = self._limits.answer_bytes >> 20
            raise AnswerFailed(Failure("too_large", f"got an answer of more than {most} MiB; expected that at most"))

    def _take(self, event: Event, at_ns: int) -> None:
        if event.data is None:
            part = Part("keep_alive")
        elif event.odd is not None and not event.data:
            part = Part("error", error=event.odd)
        elif self.answer.done or not event.data:
            part = Part("other" if event.data else "keep_alive")
        else:
            part = self._read(event.data)
        self.answer.add(part, at_ns, event.size_bytes)
        if part.kind == "error":
            raise AnswerFailed(
                Failure("server", f"the server told an error in mid-stream: {one_line(part.error or '')}")
            )
        self._pieces += bool(part.piece)
        if self._pieces > self._most_pieces:
            raise AnswerFailed(
                Failure(
                    "endless",
                    f"got more than {self._most_pieces} pieces of an answer; expected far fewer for the tokens asked "
                    "for: the server does not keep max_tokens",
                )
            )

    def _read(self, data: str) -> Part:
        try:
            return self._endpoint.read_event(data)
        except UnreadableAnswer as error:
            raise AnswerFailed(Failure("unreadable", str(error))) from None
        except Exception as error:  # noqa: BLE001 - an endpoint is foreign code
            raise AnswerFailed(Failure("client", f"the endpoint's read_event raised {reason_of(error)}")) from None
