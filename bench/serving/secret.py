"""A key for a service: read from the environment when requests are made, and taken out of every text that leaves."""

from __future__ import annotations

import base64
import json
import os
import urllib.parse
from collections.abc import Iterator

from attnlab.bench.errors import ServiceError

SHOWN = "[key]"
TOLD_APART = 8  # characters: a shorter key, such as "EMPTY", may be a word of an answer, and is no secret


class Key:
    """What a service is asked with. Its value is in no repr, cannot be pickled, and is shown to `header` alone."""

    __slots__ = ("_forms", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._forms = tuple(sorted({form for form in _forms(value) if form}, key=len, reverse=True))

    @classmethod
    def of(cls, variable: str | None) -> Key | None:
        """The key in an environment variable; None where none is named. Raises ServiceError where it is unset."""
        if variable is None:
            return None
        value = os.environ.get(variable, "").strip()
        if not value:
            raise ServiceError(
                f"the service wants a key in the environment variable {variable}, which is "
                f"{'empty' if variable in os.environ else 'not set'}; expected it there: export {variable}=…"
            )
        if not (value.isascii() and value.isprintable()):
            raise ServiceError(
                f"the key in {variable} has characters that an HTTP header cannot hold; expected printable ASCII: "
                "copy it again"
            )
        return cls(value)

    def header(self, name: str) -> dict[str, str]:
        """The header that carries it: `Authorization: Bearer …`, or itself under another name."""
        return {name: f"Bearer {self._value}" if name.lower() == "authorization" else self._value}

    def out_of(self, text: str) -> str:
        """The text without the key, whether it stands there plainly, in base64, in JSON or in a URL."""
        for form in self._forms:
            text = text.replace(form, SHOWN)
        return text

    def out_of_answer(self, text: str) -> str:
        """As `out_of`, for what a model wrote: a key of fewer than eight characters may be a word there, and stays."""
        return self.out_of(text) if len(self._value) >= TOLD_APART else text

    def __repr__(self) -> str:
        return "Key(…)"

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled; each process reads it from its environment")


def _forms(value: str) -> Iterator[str]:
    yield value
    for kept in ("", "/", "+", "/+", "/+="):  # what one encoder or another leaves as it is
        yield urllib.parse.quote(value, safe=kept)
    yield json.dumps(value)[1:-1]
    if len(value) >= TOLD_APART:
        for before in (b"", b"Bearer "):
            yield base64.b64encode(before + value.encode()).decode().rstrip("=")
