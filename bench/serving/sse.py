"""Server-sent events out of bytes, as the WHATWG's HTML standard has them (section 9.2.6, interpreting a stream).

Lines end with CR, LF or both, wherever the network parted them. A byte order mark at the beginning is none of it.
A line that begins with a colon is a comment. Several `data` lines are one text; an event without such a line is none.
What stands at the end without an empty line behind it is dropped. The standard replaces bytes that are no UTF-8. Here
they are an error, for a measurement must not be of a text that the server never wrote.
"""

from __future__ import annotations

from typing import NamedTuple

from attnlab.bench import units
from attnlab.bench.text import count

BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """data: of one event, lines joined; None of a comment. size_bytes: of its lines, line ends included.

    odd: the value of a field `error`, which is in no standard and which some servers send in place of `data`.
    """

    data: str | None
    type: str = "message"
    size_bytes: int = 0
    odd: str | None = None


class StreamError(Exception):
    """A stream that cannot be read; kind is that of the failure: `encoding` or `too_large`.

    events: those that ended within the same bytes before it went wrong.
    """

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.events: list[Event] = []


class Parser:
    """Events as the bytes of one stream come, in time linear in their number.

    most_bytes: of one event; memory is bounded by it. last_id, retry_ms: what the stream said of reconnecting.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._parts: list[bytes] = []  # of a line whose end has not come
        self._parts_bytes = 0
        self._at_start, self._after_cr = True, False
        self._data: list[str] = []
        self._type = ""
        self._odd: str | None = None
        self._event_bytes = 0
        self.last_id = ""
        self.retry_ms: int | None = None

    def feed(self, data: bytes) -> list[Event]:
        """The events and comments that end within these bytes; raises StreamError."""
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == 10:  # the second half of CR LF
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data[-1] == 13
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = data.rfind(b"\n")
        if end < 0:
            self._keep(data)
            return []
        whole = b"".join((*self._parts, data[:end])) if self._parts else data[:end]
        self._parts, self._parts_bytes = [], 0
        found: list[Event] = []
        if self._at_start:
            self._at_start = False
            whole = whole.removeprefix(BOM)
        try:
            for line in whole.split(b"\n"):
                self._event_bytes += len(line) + 1
                if self._event_bytes > self._most_bytes:
                    raise self._too_large(self._event_bytes)
                if line:
                    self._line(line, found)
                else:
                    self._dispatch(found)
            self._keep(data[end + 1 :])
        except StreamError as error:
            error.events = found
            raise
        return found

    def _keep(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._parts_bytes += len(data)
            if self._event_bytes + self._parts_bytes > self._most_bytes:
                raise self._too_large(self._event_bytes + self._parts_bytes)

    def _too_large(self, size_bytes: int) -> StreamError:
        most = units.format_bytes(self._most_bytes)
        return StreamError(
            "too_large", f"got an event of {units.format_bytes(size_bytes)} and more; expected {most} at most"
        )

    def _line(self, line: bytes, found: list[Event]) -> None:
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            bad = line[error.start : error.end]
            raise StreamError(
                "encoding",
                f"got {count(len(bad), 'byte')} 0x{bad.hex()} that are no UTF-8 in a line of {len(line)} bytes "
                f"({error.reason}); expected a stream in UTF-8, as the standard has it",
            ) from None
        name, colon, value = text.partition(":")
        if colon and not name:
            found.append(Event(None, "comment", len(line) + 1))
            self._event_bytes -= len(line) + 1
            return
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id":
            self.last_id = self.last_id if "\0" in value else value
        elif name == "retry":
            self.retry_ms = int(value) if value.isascii() and value.isdigit() else self.retry_ms
        elif name == "error":
            self._odd = value

    def _dispatch(self, found: list[Event]) -> None:
        if self._data or self._odd is not None:
            found.append(Event("\n".join(self._data), self._type or "message", self._event_bytes, self._odd))
        self._data, self._type, self._odd, self._event_bytes = [], "", None, 0
